"""Hydra's plugin for `hydra/launcher=slurm`. Imported at every start, so `launch` is imported when it is used."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher as SubmititLauncher

if TYPE_CHECKING:
    from launch.sweep import Job


class SlurmLauncher(SubmititLauncher):
    """`hydra/launcher=slurm`: submits jobs to SLURM and waits for them; see `launch.attached`.

    Its settings are those of hydra-submitit-launcher, and `array_limit`, the number of jobs in one array.
    """

    def check(self, jobs: Sequence["Job"], arguments: Sequence[str]) -> None:
        """Raises ConfigError for a store that jobs on other machines cannot use."""
        from launch.stores import check_store

        check_store(jobs, arguments, mirrored=True)

    def launch_jobs(
        self, jobs: Sequence["Job"], config_dirs: Sequence[Path], arguments: Sequence[str]
    ) -> list[JobReturn]:
        """Queues checked jobs and waits until all have ended."""
        from launch.attached import launch

        return launch(jobs, config_dirs, self.params, arguments)
