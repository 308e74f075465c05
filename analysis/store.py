"""Runs of an MLflow store as the same table that their directories give.

A run is read from its own directory where that is on this machine; else from the copies of its record that the store
keeps as artifacts; else, a running one or somebody else's, from MLflow's parameters and latest values.
"""

import ast
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pandas as pd

from analysis.frame import Row, build_frame, noted_sweeps, read_directory
from analysis.record import Files, hash_of_weights, read_record
from ordinalclip.errors import ConfigError
from ordinalclip.runs import Run
from ordinalclip.tracking import ARCHIVED_TAG, CREATED_TAG, RUN_ID_TAG

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
