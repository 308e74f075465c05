"""Hydra's plugin for `hydra/launcher=local`. Imported at every start, so `launch.local` is imported when it is used."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class LocalLauncher(Launcher):
    """`hydra/launcher=local`: several runs at a time on this machine; see `launch.local`.

    Args:
        jobs: runs at a time; None = as many as the GPUs hold, else cores / threads.
        jobs_per_gpu: runs that share a GPU.
        threads: of each run; None = OMP_NUM_THREADS, else cores / jobs, else 1.
    """

    def __init__(self, jobs: Any = None, jobs_per_gpu: Any = 1, threads: Any = None) -> None:
        super().__init__()
        self.settings = {"jobs": jobs, "jobs_per_gpu": jobs_per_gpu, "threads": threads}
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keeps what is needed to compose a job; workers do not use the task function."""
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs all jobs and returns their results in the order given."""
        from launch.local import launch

        assert self.hydra_context is not None
        assert self.config is not None
        loader = self.hydra_context.config_loader
        whole = [loader.load_sweep_config(self.config, list(overrides)) for overrides in job_overrides]
        cfgs = [OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]) for cfg in whole]
        return launch(cfgs, job_overrides, self.settings)
