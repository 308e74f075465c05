"""Waits for queued jobs. A run's directory tells its state; SLURM is asked for what a killed process did not say."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence

from launch.job_array import Queued
from launch.job_failed import JobFailed
from launch.outcome import Outcome, ask_accounts, ask_queue
from ordinalclip.lease import Busy
from ordinalclip.prepare import Job

log = logging.getLogger("ordinalclip")

_PAUSE_S = 2.0  # between two looks; a large sweep is looked at less often
_GRACE_S = 20.0  # for what was written on a node to be seen here, and for the accounts to be kept
_SILENT_S = 60.0  # until a controller that does not answer is told of


class _Watched:
    """A queued job, and what has been seen of it."""

    def __init__(self, queued: Queued) -> None:
        self.queued, self.run = queued, queued.job.run
        self.before = self.run.status().get("updated")  # of an earlier attempt
        self.has_begun = False
        self.over_since: float | None = None  # by SLURM

    def status(self) -> dict[str, str]:
        """What this job has written; empty before its first word."""
        status = self.run.status()
        return status if status.get("updated") != self.before else {}

    def failed(self, problem: str) -> JobFailed:
        run_log = self.run.directory / "run.log"
        return JobFailed(problem, run_log if self.status() and run_log.is_file() else self.queued.stderr)


def watch(queued: Sequence[Queued], begun: Callable[[Job], None]) -> Iterator[tuple[Queued, Exception | None]]:
    """Waits until each of the jobs has ended.

    Args:
        queued: jobs that were just queued.
        begun: called with each job whose run has begun.

    Yields:
        Each job as it ends, with what went wrong: `JobFailed`, or `Busy` where another process works on the run.
    """
    waiting = [_Watched(one) for one in queued]
    answered = time.monotonic()
    while waiting:
        time.sleep(max(_PAUSE_S, len(waiting) / 100))
        outcomes = ask_queue(sorted({one.queued.slurm_id.partition("_")[0] for one in waiting}))
        answered, silent = _patience(answered, outcomes is None)
        gone = [] if outcomes is None else [one for one in waiting if _is_over(outcomes.get(one.queued.slurm_id))]
        accounts = (ask_accounts([one.queued.slurm_id for one in gone]) or {}) if gone else {}
        for one in list(waiting):
            status = one.status()
            if status and not one.has_begun:
                one.has_begun = True
                begun(one.queued.job)
            if outcomes is not None:  # of a job that was requeued meanwhile the end is still to come
                one.over_since = (one.over_since or time.monotonic()) if one in gone else None
            ended, error = _verdict(one, (outcomes or {}).get(one.queued.slurm_id), accounts.get(one.queued.slurm_id))
            if ended:
                waiting.remove(one)
                yield one.queued, error
        if silent:
            log.warning("SLURM's controller does not answer; waiting for what the runs write")


def _is_over(outcome: Outcome | None) -> bool:
    return outcome is None or outcome.is_over


def _patience(answered: float, is_silent: bool) -> tuple[float, bool]:
    """When the controller answered last, and whether it is time to say that it does not."""
    now = time.monotonic()
    if not is_silent:
        return now, False
    return (float("inf"), True) if now - answered > _SILENT_S else (answered, False)


def _verdict(one: _Watched, queue: Outcome | None, account: Outcome | None) -> tuple[bool, Exception | None]:
    """Whether a job has ended, and what went wrong."""
    status = one.status()
    if status.get("status") == "finished":
        return True, None
    if status.get("status") == "failed":
        return True, one.failed(status.get("error", "it failed"))
    if one.over_since is None:
        return False, None
    outcome = account if account is not None and account.is_over else queue
    patient = time.monotonic() - one.over_since < _GRACE_S
    if outcome is None:
        return not patient, one.failed("is gone from SLURM's queue, and its accounts do not say why")
    if outcome.state == "COMPLETED":
        if one.run.state() == "running":
            return True, Busy(f"another process works on {one.run.directory.name}")
        return (
            (True, None)
            if one.run.state() == "finished"
            else (not patient, one.failed("ended with its run unfinished"))
        )
    return True, one.failed(str(outcome))
