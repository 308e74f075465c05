"""Waits for queued jobs. A run's directory tells its state; SLURM is asked for what a killed process did not say."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from launch.claims import Claims
from launch.outcome import JobFailed, Outcome, ask_accounts, ask_queue, keeps_accounts
from launch.standing import Standing
from launch.stores import Mirroring, for_nodes
from launch.submission import Queued, submit
from ordinalclip.preparation.prepare import Job
from ordinalclip.runs.leases import Busy

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


# MERGED: """`hydra/launcher=slurm`: queues jobs and stays until each of them has ended, showing them in this machine's store."""


def launch(
    jobs: Sequence[Job], config_dirs: Sequence[Path], settings: Mapping[str, Any], arguments: Sequence[str]
) -> list[JobReturn]:
    """Queues jobs, but those that SLURM has already, and waits until each of them has ended.

    Args:
        jobs: checked ones; those that would write to an SQLite store write to none, and are shown there from here.
        config_dirs: the user's own folders with options.
        settings: of `hydra/launcher=slurm`.
        arguments: what the user typed, for the record.

    Returns:
        How each job ended, in their order.

    Raises:
        ConfigError: SLURM is not here, or does not take the jobs; some may be queued by then.
        KeyboardInterrupt: on Ctrl-C; the jobs go on.
    """
    submission = submit([for_nodes(job) for job in jobs], config_dirs, settings, arguments)
    queued, others = submission.queued, _at_work(jobs, submission.stood)
    ends: dict[str, Exception | None] = {}
    if others:
        log.info("waiting for %d that SLURM has already: %s", len(others), ", ".join(_arrays(others)))
    if queued:
        log.info("queued: %d job%s as %s", len(queued), "s" if len(queued) != 1 else "", ", ".join(submission.arrays))
    if (queued or others) and not keeps_accounts():
        log.warning("sacct does not answer here: of jobs that are killed it may not be known why")
    shown = {job.run.run_id: job.cfg for job in jobs}
    try:
        with Mirroring() as mirroring:
            for one, error in watch([*others, *queued], lambda job: mirroring.begin(job.run, shown[job.run.run_id])):
                ends[one.job.run.run_id] = error
                mirroring.end(one.job.run)
    except KeyboardInterrupt:
        log.info("the jobs go on without this terminal; scancel %s ends them", " ".join(_arrays([*others, *queued])))
        raise
    return [_returned(job, ends.get(job.run.run_id, _left(job))) for job in jobs]


def _at_work(jobs: Sequence[Job], stood: Sequence[Standing]) -> list[Queued]:
    """Jobs that another submission has queued, and which wait or run."""
    if not jobs:
        return []
    claims = Claims(Path(jobs[0].cfg["paths"]["runs"]).absolute()).read()
    found = []
    for job, one in zip(jobs, stood, strict=True):
        claim = claims.get(job.run.run_id)
        if one.state not in ("queued", "running") or claim is None or claim.slurm_id is None:
            continue
        if claim.slurm_id == one.slurm_id:  # not of a job that was, of a run that another process works on now
            found.append(Queued(job, claim.slurm_id, Path(claim.log)))
    return found


def _arrays(jobs: Sequence[Queued]) -> list[str]:
    return sorted({one.slurm_id.partition("_")[0] for one in jobs}, key=int)


def _left(job: Job) -> Busy | None:
    """Of a job that is not waited for: a process outside of SLURM has it, or somebody has just done it."""
    name = job.run.directory.name
    return None if job.run.state() == "finished" else Busy(f"{name} is worked on, or being queued, by another process")


def _returned(job: Job, error: Exception | None) -> JobReturn:
    status = JobStatus.COMPLETED if error is None else JobStatus.FAILED
    returned = JobReturn(overrides=job.overrides, cfg=OmegaConf.create(job.cfg), status=status)
    returned.return_value = error
    return returned
