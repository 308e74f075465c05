"""`hydra/launcher=slurm`: queues jobs and stays until each of them has ended, showing them in this machine's store."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from launch.job_array import queue
from launch.mirroring import Mirroring
from launch.outcome import keeps_accounts
from launch.watch import watch
from ordinalclip.errors import ConfigError
from ordinalclip.prepare import Job

log = logging.getLogger("ordinalclip")

_OFFLINE = {"_target_": "ordinalclip.tracking.NoMirror"}


def check(jobs: Sequence[Job], arguments: Sequence[str]) -> None:
    """Refuses an SQLite store that was named for jobs on several machines.

    Args:
        jobs: of the sweep.
        arguments: what the user typed.

    Raises:
        ConfigError: for such a store.
    """
    typed = [word.lstrip("+").partition("=")[::2] for word in arguments]
    named = [(key, value) for key, value in typed if key in ("tracking", "tracking.uri")]
    if named and any(_is_sqlite(job) for job in jobs):
        remedy = "leave it out: this process shows the runs in that store as they go on"
        allowed = "tracking=offline, or a server's address"
        raise ConfigError(
            *named[-1], "is an SQLite file, which jobs on several machines ruin", allowed=allowed, remedy=remedy
        )


def launch(jobs: Sequence[Job], config_dirs: Sequence[Path], settings: Mapping[str, Any]) -> list[JobReturn]:
    """Queues jobs and waits until each of them has ended.

    Args:
        jobs: checked ones; those that would write to an SQLite store write to none, and are shown there from here.
        config_dirs: the user's own folders with options.
        settings: of `hydra/launcher=slurm`.

    Returns:
        How each job ended, in their order.

    Raises:
        ConfigError: SLURM is not here, or does not take the jobs; some may be queued by then.
        KeyboardInterrupt: on Ctrl-C; the jobs go on.
    """
    queued = list(queue([_for_nodes(job) for job in jobs], config_dirs, settings))
    arrays = sorted({one.slurm_id.partition("_")[0] for one in queued}, key=int)
    log.info("queued: %d job%s as %s", len(queued), "s" if len(queued) != 1 else "", ", ".join(arrays))
    if not keeps_accounts():
        log.warning("sacct does not answer here: of jobs that are killed it may not be known why")
    errors: dict[str, Exception | None] = {}
    try:
        with Mirroring() as mirroring:
            shown = {job.run.run_id: job.cfg for job in jobs}
            for one, error in watch(queued, lambda job: mirroring.begin(job.run, shown[job.run.run_id])):
                errors[one.slurm_id] = error
                mirroring.end(one.job.run)
    except KeyboardInterrupt:
        log.info("the jobs go on without this terminal; scancel %s ends them", " ".join(arrays))
        raise
    results = [JobReturn(overrides=job.overrides, cfg=OmegaConf.create(job.cfg)) for job in jobs]
    for one, result in zip(queued, results, strict=True):
        error = errors[one.slurm_id]
        result.status = JobStatus.COMPLETED if error is None else JobStatus.FAILED
        result.return_value = error
    return results


def _is_sqlite(job: Job) -> bool:
    return str(job.cfg["tracking"].get("uri", "")).startswith("sqlite:")


def _for_nodes(job: Job) -> Job:
    return replace(job, cfg=job.cfg | {"tracking": _OFFLINE}) if _is_sqlite(job) else job
