"""Copying many runs into one MLflow store. A run whose fingerprint in the store's tags is current is skipped."""

import contextlib
import gc
import logging
import socket
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ordinalclip.errors import ConfigError
from ordinalclip.runs.run import Run
from ordinalclip.system.terminal import progress
from ordinalclip.tracking.copying import choose_shown, copy_run, is_shown
from ordinalclip.tracking.describe import DIRECTORY_TAG, RUN_ID_TAG
from ordinalclip.tracking.store import Store

log = logging.getLogger("ordinalclip")

_PAGE = 1000
_NUM_THREADS = 6  # for a server; an SQLite store has one writer
_PATIENCE_S = 120.0  # for the locks of runs that are being trained


def copy_all(store: Store, runs: Sequence[Run]) -> tuple[int, int]:
    """Copies runs that a store does not have, or not all of.

    Args:
        store: where to.
        runs: any runs, with a status.json each.

    Returns:
        How many were copied, and how many could not be.

    Raises:
        ConfigError: the store does not answer.
    """
    try:
        client, experiment_id = store.open()
        shown = _all_shown(client, experiment_id)
    except Exception as error:
        raise _refused(store.uri, str(error)) from error
    found = {run: choose_shown(client, run, shown[run.run_id]) for run in runs}
    missing = [run for run in runs if found[run] is None or not is_shown(run, found[run])]
    bar = progress("copying", len(missing), " runs")

    def copy(run: Run) -> bool:
        try:
            copy_run(store, run, found[run], patience_s=_PATIENCE_S)
        except Exception as error:
            log.warning("%s: %s", run.directory.name, str(error).partition("\n")[0])
            return False
        finally:
            bar.update(1)
        return True

    with _loaded_for_good():
        if store.file is not None:
            copied = sum(map(copy, missing))
        else:
            with ThreadPoolExecutor(_NUM_THREADS) as pool:
                copied = sum(pool.map(copy, missing))
    bar.close()
    _end_the_lost(client, shown, found)
    return copied, len(missing) - copied


@contextlib.contextmanager
def _loaded_for_good() -> Iterator[None]:
    """Excludes everything loaded so far from garbage collections, which MLflow's many objects trigger often."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _refused(uri: str, said: str) -> ConfigError:
    if "error code 401" in said or "error code 403" in said:
        remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to one's that may write there"
        return ConfigError("tracking.uri", uri, "asks for a name and a password", remedy=remedy)
    problem = f"does not answer ({said.partition(chr(10))[0]})"
    return ConfigError("tracking.uri", uri, problem, remedy="make mlflow-server starts one")


def _all_shown(client: Any, experiment_id: str) -> dict[str, list[Any]]:
    """Returns run id → the store's runs with this id."""
    found: dict[str, list[Any]] = defaultdict(list)
    for shown in _pages(client, experiment_id):
        if RUN_ID_TAG in shown.data.tags:
            found[shown.data.tags[RUN_ID_TAG]].append(shown)
    return found


def _pages(client: Any, experiment_id: str) -> Iterator[Any]:
    token = None
    while token != "":
        page = client.search_runs([experiment_id], max_results=_PAGE, page_token=token)
        yield from page
        token = page.token or ""


def _end_the_lost(client: Any, shown: Mapping[str, list[Any]], found: Mapping[Run, Any]) -> None:
    """Marks runs as killed that the store shows as running and whose directory on this machine is gone."""
    known = {one.info.run_id for one in found.values() if one is not None}
    for one in (one for all_shown in shown.values() for one in all_shown):
        ours = one.data.tags.get("host") == socket.gethostname()
        gone = not Path(one.data.tags.get(DIRECTORY_TAG, "/")).exists()
        if one.info.run_id not in known and one.info.status == "RUNNING" and ours and gone:
            client.set_terminated(one.info.run_id, "KILLED")
