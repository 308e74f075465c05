"""The places of one machine that runs can be at: each has a share of the cores, or a GPU and a share of the cores."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from ordinalclip.errors import ConfigError
from ordinalclip.signatures import Between


@dataclass(frozen=True)
class Place:
    """Where one run at a time is.

    Attributes:
        cores: that its process may use.
        threads: that it computes with. Equal ones give equal bits, so all places have the same number.
        gpu: what CUDA_VISIBLE_DEVICES says there, several with commas; None = no GPU.
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


def divide(settings: LocalSettings, cores: Sequence[int], gpus: Sequence[str]) -> list[Place]:
    """The places of a machine. They depend on it and the settings alone, not on how many runs there are to do.

    Args:
        settings: checked ones.
        cores: that this process may use.
        gpus: what CUDA_VISIBLE_DEVICES may say, see `in_groups`; empty where runs are not to use one.

    Raises:
        ConfigError: more runs at a time than the GPUs hold.
    """
    held = len(gpus) * settings.jobs_per_gpu
    if gpus and settings.jobs is not None and settings.jobs > held:
        all_gpus = ",".join(gpus).split(",")
        problem = f"{len(all_gpus)} GPU{'s' if len(all_gpus) > 1 else ''} hold {held} at a time"
        remedy = f"hydra.launcher.jobs_per_gpu={-(-settings.jobs // len(gpus))}"
        raise ConfigError("hydra.launcher.jobs", settings.jobs, problem, remedy=remedy)
    jobs = held or None if settings.jobs is None else settings.jobs
    threads = settings.threads if settings.threads is not None else _threads_asked_for()
    if threads is None:
        threads = 1 if jobs is None else max(len(cores) // jobs, 1)
    if jobs is None:
        jobs = max(len(cores) // threads, 1)
    share = max(len(cores) // jobs, 1)
    # With more runs than cores for them none has a core of its own, and the system places them better than we could.
    shares = [tuple(cores[n * share : (n + 1) * share]) if jobs <= len(cores) else tuple(cores) for n in range(jobs)]
    return [Place(shares[n], threads, gpus[n % len(gpus)] if gpus else None) for n in range(jobs)]


def in_groups(gpus: Sequence[str], devices: int) -> list[str]:
    """GPUs as runs on so many devices take them: each group is what CUDA_VISIBLE_DEVICES says of one place.

    Raises:
        ConfigError: there are fewer than one run needs.
    """
    if gpus and len(gpus) < devices:
        problem = f"there {'are' if len(gpus) > 1 else 'is'} {len(gpus)} GPU{'s' if len(gpus) > 1 else ''} here"
        raise ConfigError("trainer.devices", devices, problem, allowed=f"at most {len(gpus)}, or trainer=cpu")
    whole = len(gpus) - len(gpus) % devices
    return [",".join(gpus[start : start + devices]) for start in range(0, whole, devices)]


def own_cores() -> list[int]:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def own_gpus() -> list[str]:
    """GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES gives them."""
    import torch

    number = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:number] if named is not None else [str(gpu) for gpu in range(number)]


def _threads_asked_for() -> int | None:
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) > 0 else None
