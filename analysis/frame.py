"""A table of runs: one row per run, with settings and scores as columns, from run directories or an MLflow store.

Only small text files of the records are read, so a thousand runs take about a second. Failed, running, old and damaged
runs are rows as well; missing values are NA, and `problem` names files that could not be read.

A run of a store is read from its directory if that is on this machine, else from the copies of its record among the
store's artifacts, else from MLflow's parameters and latest metrics.
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

_RECORD_FILES = ("status.json", "identity.json", "config.yaml")
_RUNS_PER_PAGE = 1000
_PARALLEL_REQUESTS = 16
_STATE_OF_MLFLOW_STATUS = {
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "interrupted",
    "RUNNING": "running",
    "SCHEDULED": "new",
}

Row = tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, float]]
"""Facts, settings and scores of a run."""


def frame_of_folder(root: Path) -> pd.DataFrame:
    """Returns the table of all runs in a folder (`paths.runs`); see `build_frame`."""
    return frame_of_directories(find_directories(root))


def find_directories(root: Path) -> list[Path]:
    """Returns the directories in a folder that hold a run's record, also an incomplete one, sorted by name."""
    return sorted(path for path in root.glob("*/") if any((path / name).is_file() for name in _RECORD_FILES))


def frame_of_directories(directories: Iterable[Path]) -> pd.DataFrame:
    """Returns the table of runs given by directory; see `build_frame`."""
    sweeps = cache(sweeps_of_runs)
    places = [directory.absolute() for directory in directories]
    return build_frame([read_directory(place, sweeps(place.parent).get(place.name, [])) for place in places])


def build_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Builds the table of runs from their facts, settings and scores.

    Returns:
        One row per run, in the order given. Columns: `FACTS`, such as `state`, `sweep` (names of all its sweeps, joined
        by commas) and `selected_on`; all settings (`seed`, `prompt.name`, …); all scores (`test/mae`, …). Scores are
        float64 with NaN. Settings are Int64, float64, boolean or str with NA for null; lists and mixed types are JSON.
        `created` is a time in UTC.
    """
    settings = dict.fromkeys(key for _, found, _ in rows for key in found)
    scores = dict.fromkeys(key for _, _, found in rows for key in found)
    columns: dict[str, pd.Series] = {}
    for name in FACTS:
        cells = [facts.get(name) for facts, _, _ in rows]
        columns[name] = _fact_column(name, cells)
    for name in settings:
        neutral = neutral_value(name)  # for runs that are older than the option
        columns[name] = setting_column([found.get(name, neutral) for _, found, _ in rows])
    for name in scores:
        columns[name] = pd.Series([found.get(name, float("nan")) for _, _, found in rows], dtype="float64")
    if "seed" not in columns:
        columns["seed"] = pd.Series([None] * len(rows), dtype="Int64")
    return pd.DataFrame(columns)


def score_columns(frame: pd.DataFrame) -> list[str]:
    """Returns the columns of scores: `ordinality`, and all names with a slash."""
    return [name for name in map(str, frame) if "/" in name or name == "ordinality"]


def setting_columns(frame: pd.DataFrame) -> list[str]:
    """Returns the columns of settings."""
    return [name for name in map(str, frame) if name not in FACTS and "/" not in name and name != "ordinality"]


def runs_in_sweep(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Returns the runs of a sweep; a run may belong to several."""
    return frame[[name in cell.split(",") if isinstance(cell, str) else False for cell in frame["sweep"]]]


def setting_column(cells: Sequence[Any]) -> pd.Series:
    """Returns settings as a column of the narrowest type that holds all of them."""
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
    """Returns the facts, settings and scores of the run in a directory.

    Args:
        directory: of a run; its record may be incomplete.
        sweeps: of the run, in addition to the one in its record.
    """

    def text(name: str) -> str | None:
        try:
            return (directory / name).read_text(encoding="utf-8")
        except OSError:
            return None
        except UnicodeDecodeError:
            return "\0"  # the file exists but cannot be parsed

    facts, settings, scores = read_record(text)
    run = Run(directory)
    names = {facts["sweep"], *sweeps} if "sweep" in facts else {*sweeps}
    own = {"run_id": run.run_id, "name": directory.name, "directory": str(directory), "state": _state(run)}
    return facts | own | {"sweep": ",".join(sorted(map(str, names))) or None}, settings, scores


def _state(run: Run) -> str:
    try:
        return run.state()
    except (KeyError, TypeError, AttributeError):  # status.json has another structure
        return "unknown"


def sweeps_of_runs(root: Path) -> dict[str, list[str]]:
    """Returns name of a run's directory → its sweeps, from `sweeps/*.json` in the folder of the runs."""
    found: dict[str, list[str]] = {}
    for file in sorted((root / "sweeps").glob("*.json")):
        try:
            runs = json.loads(file.read_text(encoding="utf-8"))["runs"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        for name in runs:
            found.setdefault(str(name), []).append(file.stem)
    return found


def _fact_column(name: str, cells: Sequence[Any]) -> pd.Series:
    if name == "created":
        return pd.to_datetime(pd.Series(cells, dtype="str"), utc=True, errors="coerce", format="ISO8601")
    if name == "seconds":
        return pd.to_numeric(pd.Series(cells, dtype="object"), errors="coerce").astype("float64")
    return pd.Series([None if cell is None else str(cell) for cell in cells], dtype="str")


def frame_of_store(uri: str, experiment: str | None = None) -> pd.DataFrame:
    """Returns the table of a store's runs, without archived and deleted ones.

    Args:
        uri: `sqlite:///path` or a server's address.
        experiment: name of an MLflow experiment; None = all.

    Returns:
        See `build_frame`. `run_id` is MLflow's id for runs that were not made by this project.

    Raises:
        ConfigError: if there is no such store or experiment, or it does not answer.
    """
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not file.is_file():
        remedy = "the first run makes it; runs=FOLDER needs none"
        raise ConfigError("store", uri, "there is no such file", remedy=remedy)
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
        stored: list[Any] = []
        token: str | None = ""
        while token is not None:
            page = client.search_runs(ids, max_results=_RUNS_PER_PAGE, page_token=token or None)
            stored += [run for run in page if ARCHIVED_TAG not in run.data.tags]
            token = page.token or None
        with ThreadPoolExecutor(_PARALLEL_REQUESTS) as pool:
            rows = list(pool.map(partial(_read_stored_run, client, cache(sweeps_of_runs)), stored))
    except mlflow.exceptions.MlflowException as error:
        raise ConfigError("store", uri, f"cannot be read ({error})") from error
    return build_frame(sorted(rows, key=lambda row: str(row[0].get("name"))))  # the order of a folder's runs


def _read_stored_run(client: Any, sweeps: Callable[[Path], Mapping[str, list[str]]], stored: Any) -> Row:
    tags = stored.data.tags
    directory = Path(tags.get("directory", ""))
    if tags.get("directory") and Run(directory).status().get("created") == tags.get(CREATED_TAG):
        return read_directory(directory, sweeps(directory.parent).get(directory.name, []))
    facts, settings, scores = read_record(_artifact_files(client, stored))
    if not settings:
        settings = {key: _parse_param(text) for key, text in stored.data.params.items()}
        scores = {key: float(value) for key, value in stored.data.metrics.items()} | scores
        facts |= {"problem": "no record in the store"}
    selected_on = tags.get("selected_on") or settings.get("protocol.select_on")
    own = {
        "run_id": tags.get(RUN_ID_TAG, stored.info.run_id),
        "name": stored.info.run_name,
        "directory": tags.get("directory"),
        "state": _STATE_OF_MLFLOW_STATUS.get(stored.info.status, "unknown"),
        "sweep": tags.get("sweep"),
        "selected_on": selected_on,
        "created": tags.get(CREATED_TAG),
        "git": tags.get("git"),
        "manifest": stored.data.params.get("manifest"),
        "weights": hash_of_weights(_weight_hashes(stored.data.params)),
    }
    return facts | {key: value for key, value in own.items() if value is not None}, settings, scores


def _artifact_files(client: Any, stored: Any) -> Files:
    """Reads files among a run's artifacts, from disk if they are on this machine."""
    place = urlparse(stored.info.artifact_uri)
    if place.scheme in ("", "file"):
        return partial(_read_text, Path(unquote(place.path)))
    if place.scheme == "mlflow-artifacts" or place.scheme.startswith("http"):
        names = {file.path for file in client.list_artifacts(stored.info.run_id)}
        return lambda name: _download_text(f"{stored.info.artifact_uri}/{name}", client) if name in names else None
    return lambda name: None


def _read_text(folder: Path, name: str) -> str | None:
    try:
        return (folder / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _download_text(uri: str, client: Any) -> str:
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        file = mlflow.artifacts.download_artifacts(uri, dst_path=folder, tracking_uri=client.tracking_uri)
        return Path(file).read_text(encoding="utf-8")


def _weight_hashes(params: Mapping[str, str]) -> dict[str, str]:
    """Part → SHA-256 of its weights."""
    prefix = "backbone.weights."
    return {key.removeprefix(prefix): text for key, text in params.items() if key.startswith(prefix)}


def _parse_param(text: str) -> Any:
    """Converts an MLflow parameter, which is always text, back to its value."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if value is None or isinstance(value, bool | int | float | list) else text
