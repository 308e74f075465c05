"""`hydra/launcher=slurm`: queues jobs and stays until each of them has ended, showing them in this machine's store."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from launch.claims import Claims
from launch.job_array import Queued
from launch.mirroring import Mirroring
from launch.outcome import keeps_accounts
from launch.shared_store import for_nodes
from launch.standing import Standing
from launch.submission import submit
from launch.watch import watch
from ordinalclip.lease import Busy
from ordinalclip.prepare import Job

log = logging.getLogger("ordinalclip")


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
