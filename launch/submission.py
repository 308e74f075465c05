"""Queues jobs as SLURM arrays, by submitit."""

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from launch.claims import Claim, Claims
from launch.snapshot import take_snapshot
from launch.standing import Standing, standings
from ordinalclip.errors import ConfigError
from ordinalclip.preparation.prepare import Job
from ordinalclip.runs.leases import Busy

# The others are SLURM's alone to submitit.
_BASE = ("name", "timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb")
_SETUP = (
    # Weights were found here, and nodes mostly have no internet: without this, libraries would ask for minutes.
    "export HF_HUB_OFFLINE=1",
    # Since SLURM 22.05 srun gives a task one of the job's cores, unless it is told so again.
    '[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK',
)


@dataclass(frozen=True)
class Queued:
    """A job in SLURM's queue.

    Attributes:
        job: what it does.
        slurm_id: `17` or, in an array, `17_3`.
        stderr: where it prints what goes wrong.
    """

    job: Job
    slurm_id: str
    stderr: Path


def queue(jobs: Sequence[Job], config_dirs: Sequence[Path], settings: Mapping[str, Any]) -> Iterator[Queued]:
    """Hands jobs to SLURM in arrays of at most `array_limit`, with a copy of the code as it is now.

    Args:
        jobs: checked ones.
        config_dirs: the user's own folders with options.
        settings: of `hydra/launcher=slurm`.

    Yields:
        Each job with its id, array by array.

    Raises:
        ConfigError: SLURM is not here, or does not take the jobs.
    """
    from submitit import AutoExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    from launch.snapshot import Task  # submitit takes a while to import

    _check_slurm()
    runs = Path(jobs[0].cfg["paths"]["runs"])
    code = take_snapshot(runs, config_dirs)
    ours = {"submitit_folder", "array_limit", "max_num_timeout", "setup", "gres", "gpus_per_node"}
    options = {name: value for name, value in settings.items() if name not in ours and value is not None}
    options |= {"setup": [*_SETUP, *settings["setup"], *code.setup]}
    # A number of GPUs, or the site's own words for them.
    options |= {"gres": settings["gres"]} if settings["gres"] else {"gpus_per_node": settings["gpus_per_node"]}
    of_sbatch = {name: value for name, value in settings["additional_parameters"].items() if value is not False}
    options |= {"additional_parameters": of_sbatch}
    options = {name if name in _BASE else f"slurm_{name}": value for name, value in options.items()}
    folder = Path(settings["submitit_folder"]).absolute()
    executor = AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=settings["max_num_timeout"])
    limit = settings["array_limit"]
    for start in range(0, len(jobs), limit):
        some = jobs[start : start + limit]
        try:
            executor.update_parameters(**options)
            queued = executor.map_array(Task(), [job.cfg for job in some], [list(job.overrides) for job in some])
        except (FailedJobError, FailedSubmissionError) as error:
            raise ConfigError("hydra/launcher", "slurm", _words_of(error), remedy="see cluster=… in --help") from error
        for job, made in zip(some, queued, strict=True):
            yield Queued(job, made.job_id, made.paths.stderr)


def _check_slurm() -> None:
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        remedy = "on a machine of your own: make slurm-up, or hydra/launcher=local"
        raise ConfigError("hydra/launcher", "slurm", "there is no sbatch here: this is no SLURM cluster", remedy=remedy)


def _words_of(error: Exception) -> str:
    """What sbatch said."""
    lines = [line.partition("error: ")[2] for line in str(error).splitlines() if "error: " in line]
    return "is refused by sbatch: " + ("; ".join(line.strip() for line in lines) or str(error).strip())


# MERGED: """Hands what is missing of some jobs to SLURM, each run once, and leaves."""


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
