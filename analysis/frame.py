"""Runs as one tidy table: a row a run, settings and scores as columns, from run directories or from an MLflow store.

Only the record's small text files are read, so that a thousand runs take about a second. Failed and running runs,
those of older versions and damaged ones are rows like any other; what they lack is NA, and `problem` names what could
not be read.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.record import FACTS, read_record
from ordinalclip.identity import neutral_value
from ordinalclip.runs import Run

_RECORDS = ("status.json", "identity.json", "config.yaml")

Row = tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, float]]
"""Facts, settings and scores of a run."""


def frame_of_folder(root: Path) -> pd.DataFrame:
    """The table of all runs below a folder (`paths.runs`).

    Args:
        root: with a directory for each run, and `sweeps/<name>.json` where there were sweeps.

    Returns:
        See `build_frame`.
    """
    return frame_of_directories(find_directories(root))


def find_directories(root: Path) -> list[Path]:
    """Directories below a folder that hold a run's record, or what is left of one, by name."""
    return sorted(path for path in root.glob("*/") if any((path / name).is_file() for name in _RECORDS))


def frame_of_directories(directories: Iterable[Path]) -> pd.DataFrame:
    """The table of these runs' directories; see `build_frame`."""
    noted = cache(noted_sweeps)
    places = [directory.absolute() for directory in directories]
    return build_frame([read_directory(place, noted(place.parent).get(place.name, [])) for place in places])


def build_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """One table of many runs' facts, settings and scores.

    Returns:
        A row a run, in the order given. Columns: `FACTS`, among them `state`, `sweep` (the names of all its sweeps,
        joined by commas) and `selected_on`; every setting (`seed`, `prompt.name`, …); every score (`test/mae`, …).
        Scores are float64, NaN where a run has none; settings are Int64, float64, boolean or str with NA for null,
        lists and mixed types being JSON; `created` is a time in UTC.
    """
    settings = dict.fromkeys(key for _, found, _ in rows for key in found)
    scores = dict.fromkeys(key for _, _, found in rows for key in found)
    columns: dict[str, pd.Series] = {}
    for name in FACTS:
        cells = [facts.get(name) for facts, _, _ in rows]
        columns[name] = _typed_fact(name, cells)
    for name in settings:
        neutral = neutral_value(name)  # of options that came later than some of these runs
        columns[name] = typed_column([found.get(name, neutral) for _, found, _ in rows])
    for name in scores:
        columns[name] = pd.Series([found.get(name, float("nan")) for _, _, found in rows], dtype="float64")
    if "seed" not in columns:
        columns["seed"] = pd.Series([None] * len(rows), dtype="Int64")
    return pd.DataFrame(columns)


def score_columns(frame: pd.DataFrame) -> list[str]:
    """The columns that hold scores: `ordinality`, and those with a slash in their names."""
    return [name for name in map(str, frame) if "/" in name or name == "ordinality"]


def setting_columns(frame: pd.DataFrame) -> list[str]:
    """The columns that hold settings: neither facts nor scores."""
    return [name for name in map(str, frame) if name not in FACTS and "/" not in name and name != "ordinality"]


def in_sweep(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The runs that belong to a sweep; a run may belong to many."""
    return frame[[name in cell.split(",") if isinstance(cell, str) else False for cell in frame["sweep"]]]


def typed_column(cells: Sequence[Any]) -> pd.Series:
    """Settings as a column of the narrowest type that holds them all."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds <= {bool}:
        return pd.Series(cells, dtype="boolean") if kinds else pd.Series(cells, dtype="object")
    if kinds <= {int}:
        return pd.Series(cells, dtype="Int64")
    if kinds <= {int, float}:
        return pd.Series([float("nan") if cell is None else float(cell) for cell in cells], dtype="float64")
    words = [cell if cell is None or isinstance(cell, str) else json.dumps(cell, ensure_ascii=False) for cell in cells]
    return pd.Series(words, dtype="str")


def read_directory(directory: Path, sweeps: Sequence[str] = ()) -> Row:
    """Facts, settings and scores of the run in a directory.

    Args:
        directory: of a run, or of what is left of one.
        sweeps: that it is known to belong to, beside the one in its own record.
    """

    def text(name: str) -> str | None:
        try:
            return (directory / name).read_text(encoding="utf-8")
        except OSError:
            return None
        except UnicodeDecodeError:
            return "\0"  # there, and nothing that can be parsed

    facts, settings, scores = read_record(text)
    run = Run(directory)
    named = {facts["sweep"], *sweeps} if "sweep" in facts else {*sweeps}
    own = {"run_id": run.run_id, "name": directory.name, "directory": str(directory), "state": _state(run)}
    return facts | own | {"sweep": ",".join(sorted(map(str, named))) or None}, settings, scores


def _state(run: Run) -> str:
    try:
        return run.state()
    except (KeyError, TypeError, AttributeError):  # a status.json that says something else
        return "unknown"


def noted_sweeps(root: Path) -> dict[str, list[str]]:
    """Name of a run's directory → the sweeps whose notes in `sweeps/`, in the folder of the runs, list it."""
    found: dict[str, list[str]] = {}
    for file in sorted((root / "sweeps").glob("*.json")):
        try:
            runs = json.loads(file.read_text(encoding="utf-8"))["runs"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        for name in runs:
            found.setdefault(str(name), []).append(file.stem)
    return found


def _typed_fact(name: str, cells: Sequence[Any]) -> pd.Series:
    if name == "created":
        return pd.to_datetime(pd.Series(cells, dtype="str"), utc=True, errors="coerce", format="ISO8601")
    if name == "seconds":
        return pd.to_numeric(pd.Series(cells, dtype="object"), errors="coerce").astype("float64")
    return pd.Series([None if cell is None else str(cell) for cell in cells], dtype="str")
