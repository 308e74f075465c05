"""Hands what is missing of some jobs to SLURM, each run once, and leaves."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from launch.claims import Claim, Claims
from launch.job_array import Queued, queue
from launch.standing import Standing, standings
from ordinalclip.errors import ConfigError
from ordinalclip.lease import Busy
from ordinalclip.prepare import Job

log = logging.getLogger("ordinalclip")


@dataclass(frozen=True)
class Submission:
    """What came of it.

    Attributes:
        queued: jobs, in the order given.
        plan: the file that lists them; None where nothing was queued.
        stood: how each run stood before.
    """

    queued: list[Queued]
    plan: Path | None
    stood: list[Standing]

    @property
    def slurm_ids(self) -> list[str]:
        """Of the jobs that were queued."""
        return [one.slurm_id for one in self.queued]

    @property
    def arrays(self) -> list[str]:
        """The numbers to give to scancel."""
        return sorted({one.partition("_")[0] for one in self.slurm_ids}, key=int)


def submit(
    jobs: Sequence[Job], config_dirs: Sequence[Path], settings: Mapping[str, Any], arguments: Sequence[str]
) -> Submission:
    """Queues those of the jobs whose runs are neither done, at work nor queued.

    Args:
        jobs: checked ones, of one folder of runs.
        config_dirs: the user's own folders with options.
        settings: of `hydra/launcher=slurm`.
        arguments: what the user typed, for the record.

    Raises:
        ConfigError: SLURM is not here, or does not take the jobs; or a run has more devices than its job has GPUs.
    """
    for job in jobs:
        _check_gpus(job, settings)
    root = Path(jobs[0].cfg["paths"]["runs"]).absolute()
    claims = Claims(root)
    before = claims.read()
    stood = standings([job.run for job in jobs], root)
    taken: dict[str, Claim] = {}
    missing: list[Job] = []
    for job, one in zip(jobs, stood, strict=True):
        if one.state in ("running", "queued") or (one.state == "finished" and not job.cfg["rerun"]):
            continue
        claim = claims.take(
            job.run.run_id, job.run.directory.name, before.get(job.run.run_id), sweep=job.cfg["sweep_name"]
        )
        if claim is None:
            log.info("left to another submission of this moment: %s", job.run.directory.name)
            continue
        taken[job.run.run_id] = claim
        missing.append(job)
    handed: list[Queued] = []
    plan = None
    try:
        missing = [_archived(job) for job in missing]
        if missing:
            plan = _write_plan(root, missing, arguments)
            for queued in queue(missing, config_dirs, settings):
                claim = taken.pop(queued.job.run.run_id)
                claims.submitted(claim, slurm_id=queued.slurm_id, plan=plan, log=queued.stderr)
                handed.append(queued)
    finally:
        for claim in taken.values():  # of what was not queued
            claims.give_back(claim)
    return Submission(handed, plan, stood)


def _check_gpus(job: Job, settings: Mapping[str, Any]) -> None:
    """A job is one run and one task, which has all of the run's devices."""
    devices, gpus = job.cfg["trainer"].get("devices", 1), settings["gpus_per_node"]
    if settings["gres"] or not gpus or job.cfg["trainer"]["accelerator"] == "cpu" or devices <= gpus:
        return
    problem = f"a job has {gpus} GPU{'s' if gpus > 1 else ''}"
    raise ConfigError("trainer.devices", devices, problem, remedy=f"cluster.gpus={devices}, and as many cluster.cpus")


def _archived(job: Job) -> Job:
    """With rerun=true what there is of the run is moved aside here: its job may be started several times."""
    if not job.cfg["rerun"]:
        return job
    try:
        place = job.run.archive()
    except Busy as busy:
        raise Busy(f"{job.run.directory.name}: {busy}; nothing was queued") from None
    if place is not None:
        log.info("archived to %s", place)
    return replace(job, cfg=job.cfg | {"rerun": False})


def _write_plan(root: Path, jobs: Sequence[Job], arguments: Sequence[str]) -> Path:
    """`sweeps/<name>-<time>.jsonl`: what was typed, then a line a job."""
    name = jobs[0].cfg["sweep_name"] or "runs"
    folder = root / "sweeps"
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = [{"arguments": list(arguments)}]
    lines += [{"run": job.run.directory.name, "overrides": list(job.overrides)} for job in jobs]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    stamp, number = time.strftime("%Y%m%d-%H%M%S"), 0
    while True:  # several may be written within a second
        path = folder / f"{name}-{stamp}{f'-{number}' if number else ''}.jsonl"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            number += 1
            continue
        return path
