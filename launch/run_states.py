"""The state of runs: what each run's directory records, corrected by SLURM's queue and accounting.

Durations include all attempts of a run. An attempt that was killed ends with the last heartbeat of its lease.
"""

import errno
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from launch.queue_claims import Claim, Claims, is_waiting, query_claims
from launch.slurm_outcome import JobOutcome, query_accounting
from ordinalclip.runs.leases import newest_attempt
from ordinalclip.runs.run import Run

STATES = ("queued", "running", "finished", "interrupted", "failed", "new")
_TAIL_BYTES = 16_384  # of metrics.jsonl: several epochs
_OUT_OF_MEMORY_ERRORS = ("OutOfMemoryError", "MemoryError", "torch.OutOfMemoryError")
_FULL_DISK_ERRORS = tuple(f"OSError: [Errno {number:d}]" for number in (errno.ENOSPC, errno.EDQUOT))
_REASON_OF_SLURM_STATE = {
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "OUT_OF_MEMORY": "out of memory",
    "PREEMPTED": "preempted",
    "NODE_FAIL": "node failure",
    "BOOT_FAIL": "node failure",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
}


@dataclass(frozen=True)
class RunState:
    """The state of one run.

    Attributes:
        run: the run.
        state: one of `STATES`.
        reason: what ended the run (bug, timeout, out of memory, full disk, preempted, node failure, cancelled, killed),
            or the job that a queued run waits as; "" if there is none.
        epoch: number of finished epochs.
        epochs: number of planned epochs; None if not known yet.
        score: the last val/mae.
        node: host of the newest attempt.
        seconds: duration of all attempts.
        attempts: number of attempts.
        error: last line of the traceback; "" if there is none.
        slurm_id: id of the queued job, or of the last one.
    """

    run: Run
    state: str
    reason: str = ""
    epoch: int = 0
    epochs: int | None = None
    score: float | None = None
    node: str = ""
    seconds: float | None = None
    attempts: int = 0
    error: str = ""
    slurm_id: str | None = None


def read_run_states(runs: Sequence[Run], root: Path) -> list[RunState]:
    """Returns the state of each run. SLURM is queried once for all of them.

    Args:
        runs: runs below `root`; their directories need not exist yet.
        root: the folder of all runs.
    """
    claims = Claims(root).read()
    known = [(run, run.status(), _newest_attempt(run), claims.get(run.run_id)) for run in runs]
    unfinished = [(attempt, claim) for _, status, attempt, claim in known if status.get("status") != "finished"]
    queue = query_claims([claim for _, claim in unfinished if claim is not None])
    ids = {_slurm_id(attempt) for attempt, _ in unfinished}
    ids |= {claim.slurm_id for _, claim in unfinished if claim is not None}
    accounting = _accounting(slurm_id for slurm_id in ids if slurm_id is not None)
    return [_run_state(*one, queue, accounting) for one in known]


def total_seconds(run: Run, state: str, status: Mapping[str, Any]) -> float | None:
    """Returns the duration of all attempts of a run.

    Args:
        run: the run.
        state: of the run, as returned by `Run.state`.
        status: content of its status.json.

    Returns:
        Seconds, or None if the duration of the newest attempt is not known.
    """
    newest = newest_attempt(run.directory)
    if newest is None:
        return status.get("seconds")
    number, file = newest
    last = status.get("seconds") if state == "finished" else _attempt_seconds(file, is_running=state == "running")
    if last is None or number == 1:
        return last
    earlier = [_attempt_seconds(one) for one in file.parent.glob("*.json") if one.stem.isdecimal() and one != file]
    return last + sum(seconds for seconds in earlier if seconds is not None)


def _attempt_seconds(file: Path, *, is_running: bool = False) -> float | None:
    try:
        attempt, touched = json.loads(file.read_text(encoding="utf-8")), file.stat().st_mtime
    except (OSError, ValueError):
        return None
    began = _timestamp(attempt.get("started"))
    if is_running:
        ended: float | None = time.time()
    else:
        ended = touched if attempt.get("ended") is None else _timestamp(attempt["ended"])
    return None if began is None or ended is None else max(0.0, ended - began)


def _timestamp(text: str | None) -> float | None:
    """Seconds since 1970 of a time in an attempt's file; None if it cannot be parsed."""
    try:
        return datetime.strptime(text or "", "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except ValueError:
        return None


def _run_state(
    run: Run,
    status: Mapping[str, Any],
    attempt: Mapping[str, Any],
    claim: Claim | None,
    queue: Mapping[str, JobOutcome] | None,
    accounting: Mapping[str, JobOutcome],
) -> RunState:
    state: str = run.state() if status or attempt else "new"
    error = str(status.get("error") or "").partition("\n")[0] if state == "failed" else ""
    slurm_id, reason = _slurm_id(attempt), ""
    if claim is not None and (state in ("finished", "running") or _is_spent(claim, attempt, queue)):
        claim = None
    if claim is not None and is_waiting(claim, queue):
        state, slurm_id = "queued", claim.slurm_id
        reason = _queued_reason(claim, queue) + _previous_end(status, accounting.get(claim.slurm_id or ""))
    elif claim is not None and claim.slurm_id not in (None, slurm_id):  # the job ended before it began an attempt
        slurm_id, outcome = claim.slurm_id, accounting.get(claim.slurm_id or "")
        reason = claim.ended or _end_reason(outcome) or "bug"
        error = "" if claim.ended else _last_line(claim.log) or (str(outcome) if outcome is not None else "")
        state = "failed" if state == "new" and reason in ("bug", "out of memory") else state
    elif state == "failed":
        reason = _error_reason(error)
    elif state == "interrupted" and claim is not None and claim.ended:
        reason = claim.ended
    elif state == "interrupted":
        unrecorded = "killed" if status.get("status") == "running" and attempt.get("ended") is None else ""
        reason = _end_reason(accounting.get(slurm_id or "")) or status.get("why") or unrecorded
    return RunState(
        run,
        state,
        reason,
        epoch=int(status.get("epoch", 0)),
        epochs=status.get("epochs"),
        score=_last_val_mae(run),
        node=str(attempt.get("slurm_node") or attempt.get("host") or ""),
        seconds=total_seconds(run, state, status),
        attempts=int(attempt.get("attempt", 0)),
        error=error,
        slurm_id=slurm_id,
    )


def _newest_attempt(run: Run) -> dict[str, Any]:
    newest = newest_attempt(run.directory)
    content = run.read_json(f"attempts/{newest[1].name}") if newest is not None else None
    return content or {}


def _slurm_id(attempt: Mapping[str, Any]) -> str | None:
    job, task = attempt.get("slurm_job"), attempt.get("slurm_task")
    return None if job is None else str(job) if task is None else f"{job}_{task}"


def _accounting(slurm_ids: Iterable[str]) -> dict[str, JobOutcome]:
    jobs = sorted({slurm_id.partition("_")[0] for slurm_id in slurm_ids})
    return (query_accounting(jobs) or {}) if jobs else {}


def _is_spent(claim: Claim, attempt: Mapping[str, Any], queue: Mapping[str, JobOutcome] | None) -> bool:
    """Whether the claimed job cannot change the run's state any more.

    True if its attempt has ended (the job itself may take longer), or if the job is over and a later attempt has begun.
    """
    if claim.slurm_id is not None and claim.slurm_id == _slurm_id(attempt):
        return attempt.get("outcome") in ("finished", "failed")
    began = _timestamp(attempt.get("started"))
    return began is not None and began >= int(claim.submitted) and not is_waiting(claim, queue)


def _queued_reason(claim: Claim, queue: Mapping[str, JobOutcome] | None) -> str:
    if claim.slurm_id is None:
        return f"being submitted by process {claim.pid} on {claim.host}"
    if queue is None:
        return f"job {claim.slurm_id}; squeue does not answer"
    state = queue[claim.slurm_id].state
    return f"job {claim.slurm_id}" + {"PENDING": "", "RUNNING": ", starting"}.get(state, f", {state.lower()}")


def _previous_end(status: Mapping[str, Any], outcome: JobOutcome | None) -> str:
    """What ended the last attempt of a run that is queued again."""
    reason = status.get("why") or (_REASON_OF_SLURM_STATE.get(outcome.before, "") if outcome is not None else "")
    return f", {reason} before" if reason else ""


def _end_reason(outcome: JobOutcome | None) -> str:
    return "" if outcome is None else _REASON_OF_SLURM_STATE.get(outcome.state, "")


def _error_reason(error: str) -> str:
    if error.startswith(_FULL_DISK_ERRORS):
        return "full disk"
    return "out of memory" if error.partition(":")[0] in _OUT_OF_MEMORY_ERRORS else "bug"


def _last_val_mae(run: Run) -> float | None:
    """The last val/mae in metrics.jsonl; only the end of the file is read."""
    try:
        with (run.directory / "metrics.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        if b'"val/mae"' in line:
            try:
                return float(json.loads(line)["values"]["val/mae"])
            except (ValueError, KeyError, TypeError):  # truncated, by a kill or at the start of the tail
                continue
    return None


def _last_line(log: str) -> str:
    try:
        lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
