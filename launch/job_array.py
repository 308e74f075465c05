"""Queues jobs as SLURM arrays, by submitit."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.snapshot import take_snapshot
from ordinalclip.errors import ConfigError
from ordinalclip.prepare import Job

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

    from launch.task import Task  # submitit takes a while to import

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
