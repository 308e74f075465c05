"""The description of a run in MLflow: parameters, tags, note, artifacts and status, read from its record."""

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from ordinalclip.runs.leases import newest_attempt
from ordinalclip.runs.run import Run

RUN_ID_TAG = "ordinalclip.run_id"
CREATED_TAG = "ordinalclip.created"  # distinguishes a record from an archived one with the same id
DIRECTORY_TAG = "directory"  # of the record; distinguishes a run from another user's with the same settings
ARCHIVED_TAG = "ordinalclip.archived"  # replaces RUN_ID_TAG once another record has the id
NOTE_TAG = "mlflow.note.content"  # shown by MLflow as the run's description
STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED", "running": "RUNNING"}

_ARTIFACTS = ("*.json", "config.yaml", "run.log", "report.html", "figures/*.png")
_TAGGED = ("sweep", "selected_on")  # labels that are tags, not parameters
_DATA = ("dataset", "protocol", "subset")  # shown from the config, since the identity holds only the manifest's hash
_MAX_PARAM, _MAX_TAG = 6000, 5000  # characters; MLflow's limits are 6,000 and 8,000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def params_of(run: Run) -> dict[str, str]:
    """Returns the settings that determine the result, flat, by which MLflow compares and groups runs."""
    labels = {k: v for k, v in (run.read_json("labels.json") or {}).items() if isinstance(v, str) and k not in _TAGGED}
    identity = run.read_json("identity.json") or {}
    chosen = _data_settings(run.directory) | choices(identity) | labels if identity else labels
    for group in labels:  # its name is clearer than its class
        chosen.pop(f"{group}._target_", None)
    return {key: str(value)[:_MAX_PARAM] for key, value in chosen.items()}


def tags_of(run: Run) -> dict[str, str]:
    """Returns user, machine, code and sweeps of a run, and the remark that must be shown with its scores."""
    facts, labels = run.read_json("provenance.json") or {}, run.read_json("labels.json") or {}
    status, attempt = run.status(), _attempt(run)
    code = facts.get("code") or {}
    sweeps = sweeps_of(run)
    tags = {
        RUN_ID_TAG: run.run_id,
        CREATED_TAG: status.get("created"),
        DIRECTORY_TAG: str(run.directory.absolute()),
        "host": attempt.get("host") or facts.get("host"),
        "device": status.get("device"),
        "git": code.get("git"),
        "dirty": code.get("dirty"),
        "sweep": ",".join(sweeps) or None,
        "seed": (run.read_json("identity.json") or {}).get("seed"),
        "fold": _fold(run.directory),
        "attempts": attempt.get("attempt"),
        "slurm_id": _slurm_id(attempt),
        "selected_on": labels.get("selected_on"),
        "error": status.get("error"),
        "mlflow.user": os.environ.get("USER"),
        "mlflow.source.name": "ordinalclip",
        "mlflow.source.git.commit": code.get("git"),
    }
    tags |= {f"sweep.{name}": "true" for name in sweeps}
    tags |= {f"tag.{word}": "true" for word in labels.get("tags", [])}
    return {key: str(value)[:_MAX_TAG] for key, value in tags.items() if value is not None}


def note_of(run: Run) -> str | None:
    """Returns error and traceback of a failed run as Markdown; None for any other run."""
    status = run.status()
    if status.get("status") != "failed":
        return None
    tail = status.get("traceback_tail") or _end_of_log(run.directory)
    return f"**failed**: {status.get('error', 'for an unknown reason')}\n\n```\n{tail[-_MAX_TAG + 1000 :]}\n```"


def artifacts_of(run: Run) -> list[Path]:
    """Returns the files of the record that are copied to MLflow; predictions and checkpoints are not."""
    found = {path for pattern in _ARTIFACTS for path in run.directory.glob(pattern)}
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def fingerprint(run: Run) -> str:
    """Returns a hash that changes whenever there is something new to copy; reads few small files."""
    state = run.state()
    seen: list[Any] = [str(run.directory.absolute()), run.status(), state, _stamp(run.directory / "metrics.jsonl")]
    seen += [sweeps_of(run), _attempt(run).get("attempt")]
    if state != "running":
        seen += [(path.name, *_stamp(path)) for path in artifacts_of(run) if path.name != "run.log"]
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16]


def milliseconds(time: str | None) -> int | None:
    """Converts a time of status.json to milliseconds since 1970; None, which MLflow reads as now, stays None."""
    return None if time is None else int(datetime.fromisoformat(time).timestamp() * 1000)


def choices(identity: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens a nested identity to `prompt.num_base_ranks` → value."""
    flat: dict[str, Any] = {}
    for key, value in identity.items():
        if isinstance(value, Mapping):
            flat |= choices(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def sweeps_of(run: Run) -> list[str]:
    """Returns the sweeps of a run: the one it was started in, and those whose notes list it."""
    made_in = (run.read_json("labels.json") or {}).get("sweep")
    found = {made_in} if made_in else set()
    for file in (run.directory.parent / "sweeps").glob("*.json"):
        if run.directory.name in _listed(file, *_stamp(file)):
            found.add(file.stem)
    return sorted(map(str, found))


@lru_cache(maxsize=256)
def _listed(file: Path, changed_ns: int, size: int) -> frozenset[str]:
    try:
        return frozenset(json.loads(file.read_text(encoding="utf-8"))["runs"])
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _data_settings(directory: Path) -> dict[str, Any]:
    """Returns the settings of the data that are not null."""
    cfg = _settings(directory, *_stamp(directory / "config.yaml"))
    return {key: value for key, value in cfg.items() if value is not None and not key.endswith(".name")}


def _fold(directory: Path) -> Any:
    cfg = _settings(directory, *_stamp(directory / "config.yaml"))
    return next((cfg[key] for key in ("protocol.split.fold", "dataset.fold") if cfg.get(key) is not None), None)


@lru_cache(maxsize=64)
def _settings(directory: Path, changed_ns: int, size: int) -> dict[str, Any]:
    try:
        cfg = yaml.load((directory / "config.yaml").read_text(encoding="utf-8"), Loader=_LOADER)
    except (OSError, yaml.YAMLError):
        return {}
    return choices({group: cfg[group] for group in _DATA if group in cfg}) if isinstance(cfg, dict) else {}


def _attempt(run: Run) -> dict[str, Any]:
    newest = newest_attempt(run.directory)
    content = None if newest is None else run.read_json(f"attempts/{newest[1].name}")
    return content if isinstance(content, dict) else {}


def _slurm_id(attempt: Mapping[str, Any]) -> str | None:
    job, task = attempt.get("slurm_job"), attempt.get("slurm_task")
    return None if job is None else str(job) if task is None else f"{job}_{task}"


def _end_of_log(directory: Path) -> str:
    try:
        lines = (directory / "run.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-30:])
