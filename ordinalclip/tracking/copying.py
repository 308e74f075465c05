"""Copies one run into a store: what is there already stays as it is, what is new is added."""

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

COPIED_TAG = "ordinalclip.copied"  # lines of metrics.jsonl in the store, fingerprint of the record when it was copied
HEAT_MAP = "similarity"
IMAGES_TAG = "mlflow.loggedImages"  # which MLflow sets itself
_BATCH = 90  # parameters or tags in one request; MLflow takes 100
_METRICS = 800  # values in one request; MLflow takes 1,000 of all kinds together
_OUTCOME_TAGS = ("error", NOTE_TAG)  # that go when a run that failed goes on


def copy_run(store: Store, run: Run, shown: Any = None, *, patience_s: float = 60.0) -> None:
    """Copies what is new of a run: values, parameters, tags, status; of one that is not running, artifacts too.

    Args:
        store: where to.
        run: any run; one without a status.json is passed over.
        shown: the run as the store has it, where it has it; None: it is looked for, as another writer may just have
            made it.
        patience_s: how long another writer may keep us waiting.

    Raises:
        LockTimeout: another writer has been at it all that time.
        Exception: whatever MLflow raises.
    """
    if not run.status():
        return
    client, experiment_id = store.open()
    with store.writing(run, patience_s):
        if shown is None:
            shown = find_shown(client, experiment_id, run)
        _copy(client, experiment_id, run, shown)


def is_shown(run: Run, shown: Any) -> bool:
    """Whether a store has all of a run."""
    copied = shown.data.tags.get(COPIED_TAG, "").partition(":")[2]
    return copied == fingerprint(run) and shown.info.status == STATUS.get(run.state())


def find_shown(client: Any, experiment_id: str, run: Run) -> Any:
    """The run in the store, or None."""
    found = client.search_runs([experiment_id], f"tags.`{RUN_ID_TAG}` = '{run.run_id}'")
    return choose_shown(client, run, list(found))


def choose_shown(client: Any, run: Run, found: list[Any]) -> Any:
    """Of what has a run's id the one that shows it, or None.

    A record is the same where it was created at the same second and does not lie in another folder: one that was moved
    goes on as the run it was. What was shown of this directory before, an archived record, gives its id up. All others
    are another user's runs of the same settings and are left alone. Two that show the same record, begun at once on
    two hosts, become one.
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
    """Whether a directory is the run's, by whatever way; None where it is gone, or on another machine."""
    if directory == str(run.directory.absolute()):
        return True
    try:
        return None if directory is None else os.path.samefile(directory, run.directory)
    except OSError:
        return None


def _copy(client: Any, experiment_id: str, run: Run, shown: Any) -> None:
    from mlflow.entities import Param, RunTag

    seen, state = fingerprint(run), run.state()  # before anything is read: what comes meanwhile is seen next time
    tags, note = tags_of(run), note_of(run)
    if shown is None:
        created = milliseconds(run.status().get("created"))
        shown = client.create_run(experiment_id, created, tags | _noted(note), run.directory.name)
    mlflow_id, there = shown.info.run_id, shown.data
    status = STATUS.get(state, "RUNNING")
    if status == "RUNNING" != shown.info.status:
        client.update_run(mlflow_id, status=status)  # it goes on

    # MLflow refuses to change a parameter; one that it lacks, a kill may have kept from it.
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
    """Shows how similar the ranks are as an image: MLflow's charts put those of several runs side by side."""
    file = run.directory / "figures" / f"{HEAT_MAP}.png"
    if IMAGES_TAG not in tags and file.is_file():
        from PIL import Image

        with Image.open(file) as image:
            client.log_image(mlflow_id, image.convert("RGB"), key=HEAT_MAP, step=0, synchronous=True)


def _batches(metrics: list[Any], params: list[Any], tags: list[Any]) -> Iterator[dict[str, list[Any]]]:
    """All of these within what one request may hold."""
    number = max(-(-len(metrics) // _METRICS), -(-max(len(params), len(tags)) // _BATCH))
    for index in range(number):
        some, values = slice(index * _BATCH, (index + 1) * _BATCH), slice(index * _METRICS, (index + 1) * _METRICS)
        yield {"metrics": metrics[values], "params": params[some], "tags": tags[some]}


def _is_ours(note: str) -> bool:
    """Whether a description was written by this project rather than by a user of MLflow."""
    return note.startswith("**failed**")


def _noted(note: str | None) -> dict[str, str]:
    return {} if note is None else {NOTE_TAG: note}


def _lines_copied(tag: str) -> int:
    number = tag.partition(":")[0]
    return int(number) if number.isdecimal() else 0


def _new_metrics(lines: list[dict[str, Any]], copied: int) -> Iterator[Any]:
    """Values of the lines from number `copied` on; an epoch done again, to the same values, stays one point."""
    from mlflow.entities import Metric

    last: dict[tuple[str, int], float] = {}
    for number, line in enumerate(lines):
        for name, value in line["values"].items():
            point = (name, line["epoch"])
            is_news = repr(last.get(point)) != repr(value)  # NaN, too, equals itself
            last[point] = value
            if number >= copied and is_news:
                yield Metric(name, value, line["time_ms"], line["epoch"])
