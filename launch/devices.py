"""How `hydra/launcher=local` divides the cores and GPUs of a machine into slots, each for one run at a time."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from ordinalclip.config.kinds import Between
from ordinalclip.errors import ConfigError


@dataclass(frozen=True)
class Slot:
    """The resources of one run at a time.

    Attributes:
        cores: CPU affinity of the run's process.
        threads: number of threads, the same in all slots, since results depend on it bit by bit.
        gpu: value of CUDA_VISIBLE_DEVICES, several GPUs separated by commas; None = no GPU.
    """

    cores: tuple[int, ...]
    threads: int
    gpu: str | None = None


@dataclass
class LocalSettings:
    """Keys of `hydra/launcher=local`.

    Attributes:
        jobs: runs at a time; null = as many as the GPUs hold, else cores / threads.
        jobs_per_gpu: runs that share a GPU.
        threads: of each run; null = OMP_NUM_THREADS, else cores / jobs, else 1.
    """

    jobs: Annotated[int, Between(1, 10_000)] | None
    jobs_per_gpu: Annotated[int, Between(1, 1_000)]
    threads: Annotated[int, Between(1, 10_000)] | None


def divide_into_slots(settings: LocalSettings, cores: Sequence[int], gpus: Sequence[str]) -> list[Slot]:
    """Divides a machine into slots. They do not depend on the number of runs.

    Args:
        settings: checked settings.
        cores: cores that this process may use.
        gpus: values for CUDA_VISIBLE_DEVICES, from `group_gpus`; empty if the runs use no GPU.

    Raises:
        ConfigError: if `jobs` is more than the GPUs hold.
    """
    capacity = len(gpus) * settings.jobs_per_gpu
    if gpus and settings.jobs is not None and settings.jobs > capacity:
        all_gpus = ",".join(gpus).split(",")
        problem = f"{len(all_gpus)} GPU{'s' if len(all_gpus) > 1 else ''} hold {capacity} at a time"
        remedy = f"hydra.launcher.jobs_per_gpu={-(-settings.jobs // len(gpus))}"
        raise ConfigError("hydra.launcher.jobs", settings.jobs, problem, remedy=remedy)
    jobs = capacity or None if settings.jobs is None else settings.jobs
    threads = settings.threads if settings.threads is not None else _omp_num_threads()
    if threads is None:
        threads = 1 if jobs is None else max(len(cores) // jobs, 1)
    if jobs is None:
        jobs = max(len(cores) // threads, 1)
    share = max(len(cores) // jobs, 1)
    # With more runs than cores, processes are not pinned: the scheduler balances them better.
    shares = [tuple(cores[n * share : (n + 1) * share]) if jobs <= len(cores) else tuple(cores) for n in range(jobs)]
    return [Slot(shares[n], threads, gpus[n % len(gpus)] if gpus else None) for n in range(jobs)]


def describe_slots(slots: Sequence[Slot], num_runs: int) -> str:
    """Returns a line such as `2 at a time, on 4 GPUs, 2 threads each`."""
    threads, at_once = slots[0].threads, min(len(slots), num_runs)
    gpus = len({gpu for slot in slots[:at_once] if slot.gpu is not None for gpu in slot.gpu.split(",")})
    on_gpus = f", on {gpus} GPU{'s' if gpus != 1 else ''}" if gpus else ""
    return f"{at_once} at a time{on_gpus}, {threads} thread{'s' if threads != 1 else ''} each"


def group_gpus(gpus: Sequence[str], devices: int) -> list[str]:
    """Groups GPUs for runs on several devices: one value for CUDA_VISIBLE_DEVICES per group.

    Raises:
        ConfigError: if there are fewer GPUs than one run needs.
    """
    if gpus and len(gpus) < devices:
        problem = f"there {'are' if len(gpus) > 1 else 'is'} {len(gpus)} GPU{'s' if len(gpus) > 1 else ''} here"
        raise ConfigError("trainer.devices", devices, problem, allowed=f"at most {len(gpus)}, or trainer=cpu")
    whole = len(gpus) - len(gpus) % devices
    return [",".join(gpus[start : start + devices]) for start in range(0, whole, devices)]


def available_cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def available_gpus() -> list[str]:
    """The GPUs that this process may use, named as in CUDA_VISIBLE_DEVICES."""
    import torch

    number = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:number] if visible is not None else [str(gpu) for gpu in range(number)]


def _omp_num_threads() -> int | None:
    value = os.environ.get("OMP_NUM_THREADS", "")
    return int(value) if value.isdecimal() and int(value) > 0 else None
