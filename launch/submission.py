"""Submits jobs to SLURM with submitit: those whose runs are missing, each run once, as job arrays.

`submit` claims the missing runs (`launch.queue_claims`), lists them in `sweeps/<name>-<time>.jsonl` and returns without
waiting. `launch.submit` and `launch.retry` call it, and so does `hydra/launcher=slurm`, which then waits.
"""

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from launch.queue_claims import Claim, Claims
from launch.run_states import RunState, read_run_states
from launch.snapshot import take_snapshot
from ordinalclip.errors import Busy, ConfigError
from ordinalclip.preparation.prepare import Job

log = logging.getLogger("ordinalclip")

# Submitit's parameters of all clusters; its others have the prefix "slurm_".
_COMMON_PARAMETERS = ("name", "timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb")
_OWN_SETTINGS = ("submitit_folder", "array_limit", "max_num_timeout", "setup", "gres", "gpus_per_node")
_SETUP = (
    # Weights are cached, and nodes often have no internet: without this, libraries retry for minutes.
    "export HF_HUB_OFFLINE=1",
    # Since SLURM 22.05, srun gives a task a single core unless this is set.
    '[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK',
)


@dataclass(frozen=True)
class QueuedJob:
    """A job in SLURM's queue.

    Attributes:
        job: the job.
        slurm_id: `17`, or `17_3` in an array.
        stderr: the file of its error output.
    """

    job: Job
    slurm_id: str
    stderr: Path


@dataclass(frozen=True)
class Submission:
    """The result of a submission.

    Attributes:
        queued: jobs, in the order given.
        plan: the file that lists them; None if nothing was queued.
        states_before: state of each run before the submission.
    """

    queued: list[QueuedJob]
    plan: Path | None
    states_before: list[RunState]

    @property
    def slurm_ids(self) -> list[str]:
        """Ids of the queued jobs."""
        return [one.slurm_id for one in self.queued]

    @property
    def arrays(self) -> list[str]:
        """Ids of the arrays, as scancel takes them."""
        return sorted({one.partition("_")[0] for one in self.slurm_ids}, key=int)


def submit(
    jobs: Sequence[Job], config_dirs: Sequence[Path], settings: Mapping[str, Any], arguments: Sequence[str]
) -> Submission:
    """Queues those of the jobs whose runs are neither finished, running nor queued.

    Args:
        jobs: checked jobs, all in one folder of runs.
        config_dirs: directories given by --config-dir.
        settings: of `hydra/launcher=slurm`.
        arguments: as typed by the user, for the record.

    Raises:
        ConfigError: if there is no SLURM, sbatch rejects the jobs, or a run has more devices than its job has GPUs.
    """
    for job in jobs:
        _check_gpus(job, settings)
    root = Path(jobs[0].cfg["paths"]["runs"]).absolute()
    claims = Claims(root)
    before = claims.read()
    states = read_run_states([job.run for job in jobs], root)
    taken: dict[str, Claim] = {}
    missing: list[Job] = []
    for job, state in zip(jobs, states, strict=True):
        if state.state in ("running", "queued") or (state.state == "finished" and not job.cfg["rerun"]):
            continue
        claim = claims.take(
            job.run.run_id, job.run.directory.name, before.get(job.run.run_id), sweep=job.cfg["sweep_name"]
        )
        if claim is None:
            log.info("skipped, another process is submitting it: %s", job.run.directory.name)
            continue
        taken[job.run.run_id] = claim
        missing.append(job)
    queued: list[QueuedJob] = []
    plan = None
    try:
        missing = [_archived(job) for job in missing]
        if missing:
            plan = _write_plan(root, missing, arguments)
            for one in queue_jobs(missing, config_dirs, settings):
                claim = taken.pop(one.job.run.run_id)
                claims.submitted(claim, slurm_id=one.slurm_id, plan=plan, log=one.stderr)
                queued.append(one)
    finally:
        for claim in taken.values():  # of jobs that were not queued
            claims.withdraw(claim)
    return Submission(queued, plan, states)


def _check_gpus(job: Job, settings: Mapping[str, Any]) -> None:
    """Raises ConfigError if a run has more devices than its job has GPUs: a job is one run and one SLURM task."""
    devices, gpus = job.cfg["trainer"].get("devices", 1), settings["gpus_per_node"]
    if settings["gres"] or not gpus or job.cfg["trainer"]["accelerator"] == "cpu" or devices <= gpus:
        return
    problem = f"a job has {gpus} GPU{'s' if gpus > 1 else ''}"
    raise ConfigError("trainer.devices", devices, problem, remedy=f"cluster.gpus={devices}, and as many cluster.cpus")


def _archived(job: Job) -> Job:
    """With rerun=true, archives the run's directory here and not in the job, which may be started several times."""
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
    """Writes `sweeps/<name>-<time>.jsonl`: the arguments, then one line per job."""
    name = jobs[0].cfg["sweep_name"] or "runs"
    folder = root / "sweeps"
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = [{"arguments": list(arguments)}]
    lines += [{"run": job.run.directory.name, "overrides": list(job.overrides)} for job in jobs]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    stamp, number = time.strftime("%Y%m%d-%H%M%S"), 0
    while True:  # several plans may be written within a second
        path = folder / f"{name}-{stamp}{f'-{number}' if number else ''}.jsonl"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            number += 1
            continue
        return path


def queue_jobs(jobs: Sequence[Job], config_dirs: Sequence[Path], settings: Mapping[str, Any]) -> Iterator[QueuedJob]:
    """Queues jobs in arrays of at most `array_limit`, with a snapshot of the code.

    Args:
        jobs: checked jobs.
        config_dirs: directories given by --config-dir.
        settings: of `hydra/launcher=slurm`.

    Yields:
        Each job with its id, array by array.

    Raises:
        ConfigError: if there is no SLURM, or sbatch rejects the jobs.
    """
    from submitit import AutoExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    from launch.slurm_task import Task  # imports submitit, which is slow

    _check_slurm()
    runs = Path(jobs[0].cfg["paths"]["runs"])
    code = take_snapshot(runs, config_dirs)
    options = {name: value for name, value in settings.items() if name not in _OWN_SETTINGS and value is not None}
    options |= {"setup": [*_SETUP, *settings["setup"], *code.setup]}
    # GPUs are requested by number or by the site's gres string.
    options |= {"gres": settings["gres"]} if settings["gres"] else {"gpus_per_node": settings["gpus_per_node"]}
    of_sbatch = {name: value for name, value in settings["additional_parameters"].items() if value is not False}
    options |= {"additional_parameters": of_sbatch}
    options = {name if name in _COMMON_PARAMETERS else f"slurm_{name}": value for name, value in options.items()}
    folder = Path(settings["submitit_folder"]).absolute()
    executor = AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=settings["max_num_timeout"])
    limit = settings["array_limit"]
    for start in range(0, len(jobs), limit):
        some = jobs[start : start + limit]
        try:
            executor.update_parameters(**options)
            queued = executor.map_array(Task(), [job.cfg for job in some], [list(job.overrides) for job in some])
        except (FailedJobError, FailedSubmissionError) as error:
            raise ConfigError(
                "hydra/launcher", "slurm", _sbatch_error(error), remedy="see cluster=… in --help"
            ) from error
        for job, made in zip(some, queued, strict=True):
            yield QueuedJob(job, made.job_id, made.paths.stderr)


def _check_slurm() -> None:
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        remedy = "on a machine of your own: make slurm-up, or hydra/launcher=local"
        raise ConfigError("hydra/launcher", "slurm", "there is no sbatch here: this is no SLURM cluster", remedy=remedy)


def _sbatch_error(error: Exception) -> str:
    lines = [line.partition("error: ")[2] for line in str(error).splitlines() if "error: " in line]
    return "is refused by sbatch: " + ("; ".join(line.strip() for line in lines) or str(error).strip())
