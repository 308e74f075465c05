"""How long a run took, or has been at it: all of its attempts together."""

import errno
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from launch.claims import Claim, Claims, is_waiting, queue_of
from launch.outcome import Outcome, ask_accounts
from ordinalclip.runs.leases import newest_attempt
from ordinalclip.runs.run import Run


def seconds_of(run: Run, state: str, status: Mapping[str, Any]) -> float | None:
    """Seconds of a run's attempts; one that was killed ended with its last sign of life.

    Args:
        run: any run.
        state: of the run, as `Run.state` gives it.
        status: content of its status.json.

    Returns:
        None where it is not known of the newest attempt.
    """
    newest = newest_attempt(run.directory)
    if newest is None:
        return status.get("seconds")
    number, file = newest
    last = status.get("seconds") if state == "finished" else _length(file, is_running=state == "running")
    if last is None or number == 1:
        return last
    earlier = [_length(one) for one in file.parent.glob("*.json") if one.stem.isdecimal() and one != file]
    return last + sum(seconds for seconds in earlier if seconds is not None)


def moment(text: str | None) -> float | None:
    """A time as an attempt's file has it, in seconds since 1970; None for anything else."""
    try:
        return datetime.strptime(text or "", "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except ValueError:
        return None


def _length(file: Path, *, is_running: bool = False) -> float | None:
    try:
        attempt, touched = json.loads(file.read_text(encoding="utf-8")), file.stat().st_mtime
    except (OSError, ValueError):
        return None
    began = moment(attempt.get("started"))
    if is_running:
        ended: float | None = time.time()
    else:
        ended = touched if attempt.get("ended") is None else moment(attempt["ended"])
    return None if began is None or ended is None else max(0.0, ended - began)


# MERGED: """How a run stands: what its directory says, corrected by SLURM's queue and accounts where it is one of their jobs."""


STATES = ("queued", "running", "finished", "interrupted", "failed", "new")
_TAIL_BYTES = 16_384  # of metrics.jsonl: several epochs
_OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError", "torch.OutOfMemoryError")
_FULL_DISK = tuple(f"OSError: [Errno {number:d}]" for number in (errno.ENOSPC, errno.EDQUOT))
# SLURM's word for an end → ours.
_ENDS = {
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
class Standing:
    """How a run stands.

    Attributes:
        run: its directory.
        state: one of `STATES`.
        why: what more there is to say: what ended it (bug, timeout, out of memory, full disk, preempted, node
            failure, cancelled, killed), or which job it waits as.
        epoch: how many are done.
        epochs: how many there are to be; None where that is not known yet.
        score: the last val/mae.
        node: where it runs or ran last.
        seconds: that it took, or has been at it, in all of its attempts.
        attempts: how often it was begun.
        error: the last line of its traceback; "" where there is none.
        slurm_id: of its job, in the queue or the last one.
    """

    run: Run
    state: str
    why: str = ""
    epoch: int = 0
    epochs: int | None = None
    score: float | None = None
    node: str = ""
    seconds: float | None = None
    attempts: int = 0
    error: str = ""
    slurm_id: str | None = None


def standings(runs: Sequence[Run], root: Path) -> list[Standing]:
    """How each of these runs stands; SLURM is asked once for all.

    Args:
        runs: any of the runs below `root`, there already or to come.
        root: the folder of the runs.
    """
    claims = Claims(root).read()
    known = [(run, run.status(), _attempt(run), claims.get(run.run_id)) for run in runs]
    open_ = [(attempt, claim) for _, status, attempt, claim in known if status.get("status") != "finished"]
    queue = queue_of([claim for _, claim in open_ if claim is not None])
    ids = {_slurm_id(attempt) for attempt, _ in open_} | {claim.slurm_id for _, claim in open_ if claim is not None}
    accounts = _accounts(one for one in ids if one is not None)
    return [_standing(*one, queue, accounts) for one in known]


def _standing(
    run: Run,
    status: Mapping[str, Any],
    attempt: Mapping[str, Any],
    claim: Claim | None,
    queue: Mapping[str, Outcome] | None,
    accounts: Mapping[str, Outcome],
) -> Standing:
    state: str = run.state() if status or attempt else "new"
    error = str(status.get("error") or "").partition("\n")[0] if state == "failed" else ""
    slurm_id, why = _slurm_id(attempt), ""
    if claim is not None and (state in ("finished", "running") or _is_spent(claim, attempt, queue)):
        claim = None
    if claim is not None and is_waiting(claim, queue):
        state, slurm_id = "queued", claim.slurm_id
        why = _in_queue(claim, queue) + _before(status, accounts.get(claim.slurm_id or ""))
    elif claim is not None and claim.slurm_id not in (None, slurm_id):  # its job ended before the run's first step
        slurm_id, outcome = claim.slurm_id, accounts.get(claim.slurm_id or "")
        why = claim.ended or _end(outcome) or "bug"
        error = "" if claim.ended else _last_line(claim.log) or (str(outcome) if outcome is not None else "")
        state = "failed" if state == "new" and why in ("bug", "out of memory") else state
    elif state == "failed":
        why = _failure(error)
    elif state == "interrupted" and claim is not None and claim.ended:
        why = claim.ended
    elif state == "interrupted":
        unsaid = "killed" if status.get("status") == "running" and attempt.get("ended") is None else ""
        why = _end(accounts.get(slurm_id or "")) or status.get("why") or unsaid
    return Standing(
        run,
        state,
        why,
        epoch=int(status.get("epoch", 0)),
        epochs=status.get("epochs"),
        score=_score(run),
        node=str(attempt.get("slurm_node") or attempt.get("host") or ""),
        seconds=seconds_of(run, state, status),
        attempts=int(attempt.get("attempt", 0)),
        error=error,
        slurm_id=slurm_id,
    )


def _attempt(run: Run) -> dict[str, Any]:
    newest = newest_attempt(run.directory)
    content = run.read_json(f"attempts/{newest[1].name}") if newest is not None else None
    return content or {}


def _slurm_id(attempt: Mapping[str, Any]) -> str | None:
    job, task = attempt.get("slurm_job"), attempt.get("slurm_task")
    return None if job is None else str(job) if task is None else f"{job}_{task}"


def _is_spent(claim: Claim, attempt: Mapping[str, Any], queue: Mapping[str, Outcome] | None) -> bool:
    """Whether the claimed job has no more to say of the run.

    Its attempt has ended, though the job may take a while to; or it is over, and another process began one since.
    """
    if claim.slurm_id is not None and claim.slurm_id == _slurm_id(attempt):
        return attempt.get("outcome") in ("finished", "failed")
    began = moment(attempt.get("started"))
    return began is not None and began >= int(claim.submitted) and not is_waiting(claim, queue)


def _in_queue(claim: Claim, queue: Mapping[str, Outcome] | None) -> str:
    if claim.slurm_id is None:
        return f"being submitted by process {claim.pid} on {claim.host}"
    if queue is None:
        return f"job {claim.slurm_id}; squeue does not answer"
    state = queue[claim.slurm_id].state
    return f"job {claim.slurm_id}" + {"PENDING": "", "RUNNING": ", starting"}.get(state, f", {state.lower()}")


def _failure(error: str) -> str:
    """The kind of an error that ended a run."""
    if error.startswith(_FULL_DISK):
        return "full disk"
    return "out of memory" if error.partition(":")[0] in _OUT_OF_MEMORY else "bug"


def _before(status: Mapping[str, Any], outcome: Outcome | None) -> str:
    """What ended the last attempt of a run that waits to go on."""
    why = status.get("why") or (_ENDS.get(outcome.before, "") if outcome is not None else "")
    return f", {why} before" if why else ""


def _accounts(slurm_ids: Iterable[str]) -> dict[str, Outcome]:
    jobs = sorted({one.partition("_")[0] for one in slurm_ids})
    return (ask_accounts(jobs) or {}) if jobs else {}


def _end(outcome: Outcome | None) -> str:
    return "" if outcome is None else _ENDS.get(outcome.state, "")


def _score(run: Run) -> float | None:
    """The last val/mae in metrics.jsonl, of which only the end is read."""
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
            except (ValueError, KeyError, TypeError):  # cut off, by a kill or at where we began
                continue
    return None


def _last_line(log: str) -> str:
    try:
        lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
