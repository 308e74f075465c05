"""A run on several devices is started once, by one task of SLURM's; the processes beside it are its own."""

import os
from collections.abc import Mapping
from typing import Any

from ordinalclip.errors import ConfigError


def check_single_start(cfg: Mapping[str, Any]) -> None:
    """Refuses what `srun -n2` makes of a run on two devices: two runs, each with two processes.

    Args:
        cfg: a configuration; that of a run on one device is not looked at, since tasks may be runs of their own.

    Raises:
        ConfigError: this process is one of several tasks that srun started.
    """
    tasks, devices = os.environ.get("SLURM_STEP_NUM_TASKS", "1"), cfg["trainer"].get("devices", 1)
    if devices > 1 and tasks.isdecimal() and int(tasks) > 1:
        problem = f"srun started this {tasks} times, and each would start processes for all devices"
        raise ConfigError(
            "trainer.devices", devices, problem, remedy=f"one task with all of them: srun -n1 --gpus={devices}"
        )
