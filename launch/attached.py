"""`hydra/launcher=slurm`: queues jobs, waits until each has ended, and mirrors their runs into this machine's store.

A run's directory gives its state; SLURM is queried for jobs that ended without recording it, such as killed ones.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from launch.queue_claims import Claims
from launch.run_states import RunState
from launch.slurm_outcome import JobFailed, JobOutcome, has_accounting, query_accounting, query_queue
from launch.stores import Mirroring, without_sqlite
from launch.submission import QueuedJob, submit
from ordinalclip.errors import Busy
from ordinalclip.preparation.prepare import Job

log = logging.getLogger("ordinalclip")

_POLL_S = 2.0  # at least; longer for large sweeps
_GRACE_S = 20.0  # after the end of a job, for its files and its accounting to arrive
_WARN_AFTER_S = 60.0  # without an answer of SLURM's controller


def launch(
    jobs: Sequence[Job], config_dirs: Sequence[Path], settings: Mapping[str, Any], arguments: Sequence[str]
) -> list[JobReturn]:
    """Queues jobs, except those that are in SLURM's queue already, and waits until all have ended.

    Args:
        jobs: checked jobs; those with an SQLite store are mirrored by this process.
        config_dirs: directories given by --config-dir.
        settings: of `hydra/launcher=slurm`.
        arguments: as typed by the user, for the record.

    Returns:
        The result of each job, in the order given.

    Raises:
        ConfigError: if there is no SLURM, or sbatch rejects the jobs; some may have been queued.
        KeyboardInterrupt: on Ctrl-C; the jobs continue.
    """
    submission = submit([without_sqlite(job) for job in jobs], config_dirs, settings, arguments)
    queued, others = submission.queued, _queued_before(jobs, submission.states_before)
    errors: dict[str, Exception | None] = {}
    if others:
        log.info("waiting for %d that SLURM has already: %s", len(others), ", ".join(_arrays(others)))
    if queued:
        log.info("queued: %d job%s as %s", len(queued), "s" if len(queued) != 1 else "", ", ".join(submission.arrays))
    if (queued or others) and not has_accounting():
        log.warning("sacct does not answer here: of jobs that are killed it may not be known why")
    cfgs = {job.run.run_id: job.cfg for job in jobs}
    try:
        with Mirroring() as mirroring:
            for one, error in watch([*others, *queued], lambda job: mirroring.begin(job.run, cfgs[job.run.run_id])):
                errors[one.job.run.run_id] = error
                mirroring.end(one.job.run)
    except KeyboardInterrupt:
        log.info("the jobs go on without this terminal; scancel %s ends them", " ".join(_arrays([*others, *queued])))
        raise
    return [_job_return(job, errors.get(job.run.run_id, _not_waited_for(job))) for job in jobs]


def _queued_before(jobs: Sequence[Job], states: Sequence[RunState]) -> list[QueuedJob]:
    """Jobs of earlier submissions that are queued or running."""
    if not jobs:
        return []
    claims = Claims(Path(jobs[0].cfg["paths"]["runs"]).absolute()).read()
    found = []
    for job, state in zip(jobs, states, strict=True):
        claim = claims.get(job.run.run_id)
        if state.state not in ("queued", "running") or claim is None or claim.slurm_id is None:
            continue
        if claim.slurm_id == state.slurm_id:  # otherwise the job has ended, and another process works on the run
            found.append(QueuedJob(job, claim.slurm_id, Path(claim.log)))
    return found


def _arrays(jobs: Sequence[QueuedJob]) -> list[str]:
    return sorted({one.slurm_id.partition("_")[0] for one in jobs}, key=int)


def _not_waited_for(job: Job) -> Busy | None:
    """The error of a job that was not waited for: a process outside of SLURM works on its run, or has finished it."""
    name = job.run.directory.name
    return None if job.run.state() == "finished" else Busy(f"{name} is worked on, or being queued, by another process")


def _job_return(job: Job, error: Exception | None) -> JobReturn:
    status = JobStatus.COMPLETED if error is None else JobStatus.FAILED
    returned = JobReturn(overrides=job.overrides, cfg=OmegaConf.create(job.cfg), status=status)
    returned.return_value = error
    return returned


class _WatchedJob:
    """A queued job and its observed progress."""

    def __init__(self, queued: QueuedJob) -> None:
        self.queued, self.run = queued, queued.job.run
        self.before = self.run.status().get("updated")  # of an earlier attempt
        self.has_begun = False
        self.over_since: float | None = None  # according to SLURM

    def status(self) -> dict[str, str]:
        """The run's status.json if this job has written it, else {}."""
        status = self.run.status()
        return status if status.get("updated") != self.before else {}

    def failed(self, problem: str) -> JobFailed:
        run_log = self.run.directory / "run.log"
        return JobFailed(problem, run_log if self.status() and run_log.is_file() else self.queued.stderr)


def watch(queued: Sequence[QueuedJob], begun: Callable[[Job], None]) -> Iterator[tuple[QueuedJob, Exception | None]]:
    """Waits until all jobs have ended.

    Args:
        queued: jobs that were just queued.
        begun: called once with each job whose run has begun.

    Yields:
        Each job as it ends, with None or its error: `JobFailed`, or `Busy` if another process works on the run.
    """
    waiting = [_WatchedJob(one) for one in queued]
    answered = time.monotonic()
    while waiting:
        time.sleep(max(_POLL_S, len(waiting) / 100))
        outcomes = query_queue(sorted({one.queued.slurm_id.partition("_")[0] for one in waiting}))
        answered, warn = _check_silence(answered, outcomes is None)
        gone = [] if outcomes is None else [one for one in waiting if _is_over(outcomes.get(one.queued.slurm_id))]
        accounting = (query_accounting([one.queued.slurm_id for one in gone]) or {}) if gone else {}
        for one in list(waiting):
            status = one.status()
            if status and not one.has_begun:
                one.has_begun = True
                begun(one.queued.job)
            slurm_id = one.queued.slurm_id
            if outcomes is not None:  # None again if the job was requeued
                one.over_since = (one.over_since or time.monotonic()) if one in gone else None
            ended, error = _check_end(one, (outcomes or {}).get(slurm_id), accounting.get(slurm_id))
            if ended:
                waiting.remove(one)
                yield one.queued, error
        if warn:
            log.warning("SLURM's controller does not answer; waiting for what the runs write")


def _is_over(outcome: JobOutcome | None) -> bool:
    return outcome is None or outcome.is_over


def _check_silence(answered: float, is_silent: bool) -> tuple[float, bool]:
    """Returns when the controller answered last, and whether to warn now that it does not."""
    now = time.monotonic()
    if not is_silent:
        return now, False
    return (float("inf"), True) if now - answered > _WARN_AFTER_S else (answered, False)


def _check_end(one: _WatchedJob, queue: JobOutcome | None, account: JobOutcome | None) -> tuple[bool, Exception | None]:
    """Returns whether a job has ended, and its error."""
    status = one.status()
    if status.get("status") == "finished":
        return True, None
    if status.get("status") == "failed":
        return True, one.failed(status.get("error", "it failed"))
    if one.over_since is None:
        return False, None
    outcome = account if account is not None and account.is_over else queue
    is_overdue = time.monotonic() - one.over_since >= _GRACE_S
    if outcome is None:
        return is_overdue, one.failed("is gone from SLURM's queue, and its accounts do not say why")
    if outcome.state == "COMPLETED":
        if one.run.state() == "running":
            return True, Busy(f"another process works on {one.run.directory.name}")
        if one.run.state() == "finished":
            return True, None
        return is_overdue, one.failed("ended with its run unfinished")
    return True, one.failed(str(outcome))
