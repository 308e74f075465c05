"""Runs as one tidy table: a row a run, settings and scores as columns, from run directories or from an MLflow store.

Only the record's small text files are read, so that a thousand runs take about a second. Failed and running runs,
those of older versions and damaged ones are rows like any other; what they lack is NA, and `problem` names what could
not be read.
"""

import ast
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pandas as pd

from analysis.record import FACTS, Files, hash_of_weights, read_record
from ordinalclip.config.identity import neutral_value
from ordinalclip.errors import ConfigError
from ordinalclip.runs.run import Run
from ordinalclip.tracking import ARCHIVED_TAG, CREATED_TAG, RUN_ID_TAG

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


# MERGED: """Runs of an MLflow store as the same table that their directories give.
#
# A run is read from its own directory where that is on this machine; else from the copies of its record that the store
# keeps as artifacts; else, a running one or somebody else's, from MLflow's parameters and latest values.
# """


_PAGE = 1000
_AT_ONCE = 16  # requests to a server
_STATES = {
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "interrupted",
    "RUNNING": "running",
    "SCHEDULED": "new",
}


def frame_of_store(uri: str, experiment: str | None = None) -> pd.DataFrame:
    """The table of a store's runs; archived and deleted ones are left out.

    Args:
        uri: `sqlite:///path` or a server's address.
        experiment: MLflow's name of one; None: all.

    Returns:
        See `analysis.frame.build_frame`. Runs that were not made by this platform have MLflow's id as `run_id`.

    Raises:
        ConfigError: there is no such store or experiment, or it does not answer.
    """
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not file.is_file():
        raise ConfigError(
            "store", uri, "there is no such file", remedy="the first run makes it; runs=FOLDER needs none"
        )
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    client = mlflow.MlflowClient(uri)
    try:
        experiments = {one.name: one.experiment_id for one in client.search_experiments()}
        if experiment is not None and experiment not in experiments:
            raise ConfigError("experiment", experiment, "is not in the store", allowed=", ".join(experiments) or "none")
        ids = list(experiments.values()) if experiment is None else [experiments[experiment]]
        shown: list[Any] = []
        token: str | None = ""
        while token is not None:
            page = client.search_runs(ids, max_results=_PAGE, page_token=token or None)
            shown += [run for run in page if ARCHIVED_TAG not in run.data.tags]
            token = page.token or None
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            rows = list(pool.map(partial(_row, client, cache(noted_sweeps)), shown))
    except mlflow.exceptions.MlflowException as error:
        raise ConfigError("store", uri, f"cannot be read ({error})") from error
    return build_frame(sorted(rows, key=lambda row: str(row[0].get("name"))))  # as a folder's are


def _row(client: Any, noted: Callable[[Path], Mapping[str, list[str]]], shown: Any) -> Row:
    tags = shown.data.tags
    directory = Path(tags.get("directory", ""))
    if tags.get("directory") and Run(directory).status().get("created") == tags.get(CREATED_TAG):
        return read_directory(directory, noted(directory.parent).get(directory.name, []))
    facts, settings, scores = read_record(_artifacts(client, shown))
    if not settings:
        settings = {key: _value(text) for key, text in shown.data.params.items()}
        scores = {key: float(value) for key, value in shown.data.metrics.items()} | scores
        facts |= {"problem": "no record in the store"}
    selected_on = tags.get("selected_on") or settings.get("protocol.select_on")
    own = {
        "run_id": tags.get(RUN_ID_TAG, shown.info.run_id),
        "name": shown.info.run_name,
        "directory": tags.get("directory"),
        "state": _STATES.get(shown.info.status, "unknown"),
        "sweep": tags.get("sweep"),
        "selected_on": selected_on,
        "created": tags.get(CREATED_TAG),
        "git": tags.get("git"),
        "manifest": shown.data.params.get("manifest"),
        "weights": hash_of_weights(_weights(shown.data.params)),
    }
    return facts | {key: value for key, value in own.items() if value is not None}, settings, scores


def _artifacts(client: Any, shown: Any) -> Files:
    """Reads files of a run's artifacts, from disk where they lie here."""
    place = urlparse(shown.info.artifact_uri)
    if place.scheme in ("", "file"):
        return partial(_text, Path(unquote(place.path)))
    if place.scheme == "mlflow-artifacts" or place.scheme.startswith("http"):
        there = {file.path for file in client.list_artifacts(shown.info.run_id)}
        return lambda name: _fetched(f"{shown.info.artifact_uri}/{name}", client) if name in there else None
    return lambda name: None


def _text(folder: Path, name: str) -> str | None:
    try:
        return (folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _fetched(uri: str, client: Any) -> str:
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        file = mlflow.artifacts.download_artifacts(uri, dst_path=folder, tracking_uri=client.tracking_uri)
        return Path(file).read_text(encoding="utf-8")


def _weights(params: Mapping[str, str]) -> dict[str, str]:
    """Part → SHA-256 of its weights, as the identity that the parameters are of has them."""
    start = "backbone.weights."
    return {key.removeprefix(start): text for key, text in params.items() if key.startswith(start)}


def _value(text: str) -> Any:
    """A parameter as it was before MLflow made it a text."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if value is None or isinstance(value, bool | int | float | list) else text
