"""Copying one run into a store: only what the store lacks is added. `shown` is the run as MLflow has it."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from ordinalclip.runs.run import Run
from ordinalclip.tracking.describe import (
    ARCHIVED_TAG,
    CREATED_TAG,
    DIRECTORY_TAG,
    NOTE_TAG,
    RUN_ID_TAG,
    STATUS,
    artifacts_of,
    fingerprint,
    milliseconds,
    note_of,
    params_of,
    tags_of,
)
from ordinalclip.tracking.store import Store

COPIED_TAG = "ordinalclip.copied"  # "<lines of metrics.jsonl in the store>:<fingerprint of the record>"
HEAT_MAP = "similarity"
IMAGES_TAG = "mlflow.loggedImages"  # set by MLflow when an image is logged
_MAX_PARAMS = 90  # parameters or tags in one request; MLflow allows 100
_MAX_METRICS = 800  # values in one request; MLflow allows 1,000 entries of all kinds
_OUTCOME_TAGS = ("error", NOTE_TAG)  # removed when a failed run is resumed


def copy_run(store: Store, run: Run, shown: Any = None, *, patience_s: float = 60.0) -> None:
    """Copies the new values, parameters, tags and the status of a run; of a run that has ended, artifacts too.

    Args:
        store: the store to copy to.
        run: the run; skipped if it has no status.json.
        shown: the run in the store; None to search for it under the lock, since another writer may have created it.
        patience_s: seconds to wait for other writers.

    Raises:
        LockTimeout: another writer held the lock all that time.
        Exception: any error of MLflow.
    """
    if not run.status():
        return
    client, experiment_id = store.open()
    with store.writing(run, patience_s):
        if shown is None:
            shown = find_shown(client, experiment_id, run)
        _copy(client, experiment_id, run, shown)


def is_shown(run: Run, shown: Any) -> bool:
    """Returns whether the store has everything of a run."""
    copied = shown.data.tags.get(COPIED_TAG, "").partition(":")[2]
    return copied == fingerprint(run) and shown.info.status == STATUS.get(run.state())


def find_shown(client: Any, experiment_id: str, run: Run) -> Any:
    """Searches a run in the store; returns None if it is not there."""
    found = client.search_runs([experiment_id], f"tags.`{RUN_ID_TAG}` = '{run.run_id}'")
    return choose_shown(client, run, list(found))


def choose_shown(client: Any, run: Run, found: list[Any]) -> Any:
    """Selects, among the store's runs with a run's id, the one that shows this record; returns None if there is none.

    A run shows this record if it was created at the same second and its directory is this one or no longer exists: a
    moved record stays the same run. An older run of this directory shows an archived record and loses the id. Other
    runs belong to other users with the same settings and are left alone. If two runs show this record, because two
    hosts created them at once, one is deleted.
    """
    created, same = run.status().get("created", ""), []
    for shown in found:
        is_here = _lies_here(shown.data.tags.get(DIRECTORY_TAG), run)
        if shown.data.tags.get(CREATED_TAG, created) == created and is_here is not False:
            same.append(shown)
        elif is_here:
            client.set_tag(shown.info.run_id, ARCHIVED_TAG, run.run_id)
            client.delete_tag(shown.info.run_id, RUN_ID_TAG)
    same.sort(key=lambda shown: shown.info.run_id)
    for double in same[1:]:
        client.delete_run(double.info.run_id)
    return same[0] if same else None


def _lies_here(directory: str | None, run: Run) -> bool | None:
    """Returns whether a path leads to the run's directory; None if it does not exist on this machine."""
    if directory == str(run.directory.absolute()):
        return True
    try:
        return None if directory is None else os.path.samefile(directory, run.directory)
    except OSError:
        return None


def _copy(client: Any, experiment_id: str, run: Run, shown: Any) -> None:
    from mlflow.entities import Param, RunTag

    seen, state = fingerprint(run), run.state()  # before the record is read, so that later changes are copied next time
    tags, note = tags_of(run), note_of(run)
    if shown is None:
        created = milliseconds(run.status().get("created"))
        shown = client.create_run(experiment_id, created, tags | _noted(note), run.directory.name)
    mlflow_id, there = shown.info.run_id, shown.data
    status = STATUS.get(state, "RUNNING")
    if status == "RUNNING" != shown.info.status:
        client.update_run(mlflow_id, status=status)  # the run was resumed

    # MLflow refuses to change a parameter. Parameters may be missing after a kill.
    params = [Param(key, value) for key, value in params_of(run).items() if key not in there.params]
    if NOTE_TAG not in there.tags or _is_ours(there.tags[NOTE_TAG]):
        tags |= _noted(note)
    new_tags = [RunTag(key, value) for key, value in tags.items() if there.tags.get(key) != value]
    lines = list(run.metrics())
    metrics = list(_new_metrics(lines, _lines_copied(there.tags.get(COPIED_TAG, ""))))
    for batch in _batches(metrics, params, new_tags):
        client.log_batch(mlflow_id, **batch)

    if status != "RUNNING":
        for file in artifacts_of(run):
            folder = file.parent.relative_to(run.directory).as_posix()
            client.log_artifact(mlflow_id, str(file), None if folder == "." else folder)
        _log_heat_map(client, mlflow_id, run, there.tags)
        client.set_terminated(mlflow_id, status, milliseconds(run.status().get("updated")))
    for key in _OUTCOME_TAGS:
        if key in there.tags and key not in tags and (key != NOTE_TAG or _is_ours(there.tags[key])):
            client.delete_tag(mlflow_id, key)
    client.log_batch(mlflow_id, tags=[RunTag(COPIED_TAG, f"{len(lines)}:{seen}")])


def _log_heat_map(client: Any, mlflow_id: str, run: Run, tags: Mapping[str, str]) -> None:
    """Logs the similarity of the ranks as an image, which MLflow's charts show side by side for several runs."""
    file = run.directory / "figures" / f"{HEAT_MAP}.png"
    if IMAGES_TAG not in tags and file.is_file():
        from PIL import Image

        with Image.open(file) as image:
            client.log_image(mlflow_id, image.convert("RGB"), key=HEAT_MAP, step=0, synchronous=True)


def _batches(metrics: list[Any], params: list[Any], tags: list[Any]) -> Iterator[dict[str, list[Any]]]:
    """Splits the entries into requests of the size that MLflow allows."""
    number = max(-(-len(metrics) // _MAX_METRICS), -(-max(len(params), len(tags)) // _MAX_PARAMS))
    for index in range(number):
        values = slice(index * _MAX_METRICS, (index + 1) * _MAX_METRICS)
        some = slice(index * _MAX_PARAMS, (index + 1) * _MAX_PARAMS)
        yield {"metrics": metrics[values], "params": params[some], "tags": tags[some]}


def _is_ours(note: str) -> bool:
    """Returns whether a description was written by this project, not by a user of MLflow."""
    return note.startswith("**failed**")


def _noted(note: str | None) -> dict[str, str]:
    return {} if note is None else {NOTE_TAG: note}


def _lines_copied(tag: str) -> int:
    number = tag.partition(":")[0]
    return int(number) if number.isdecimal() else 0


def _new_metrics(lines: list[dict[str, Any]], copied: int) -> Iterator[Any]:
    """Yields the values of the lines from number `copied` on; a repeated epoch with equal values is skipped."""
    from mlflow.entities import Metric

    last: dict[tuple[str, int], float] = {}
    for number, line in enumerate(lines):
        for name, value in line["values"].items():
            point = (name, line["epoch"])
            is_new = repr(last.get(point)) != repr(value)  # repr, since NaN differs from itself
            last[point] = value
            if number >= copied and is_new:
                yield Metric(name, value, line["time_ms"], line["epoch"])
