"""What SLURM knows of a job: this process's own, whether a queued one still runs, and how many tasks were started.

A signal does not tell a time limit from a preemption, so SLURM is asked. Its commands wait for minutes when the
controller is down, so each has a time limit.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import Any

from ordinalclip.errors import ConfigError

_ASK_AT_MOST_S = 20.0  # scontrol waits for minutes where the controller is down
_NO_TIME = ("", "None", "N/A", "(null)", "Unknown")

_PATIENCE_S = 10.0
_GOOD_FOR_S = 5.0  # of an answer, so that a table of a thousand runs asks once an array
_ALIVE = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING", "CONFIGURING")
_answers: dict[str, tuple[float, dict[str, str] | None]] = {}  # job → when it was asked for, states of its tasks


def own_job() -> dict[str, str]:
    """The output of `scontrol show job` as key → value; empty outside of SLURM, or if it does not answer."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    name = os.environ.get("SLURM_JOB_ID", "") if array is None else f"{array}_{index}"
    if not name:
        return {}
    try:
        done = subprocess.run(
            ["scontrol", "show", "job", name, "-o"], capture_output=True, text=True, timeout=_ASK_AT_MOST_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(word.partition("=")[::2] for word in done.stdout.split())


def stop_reason(by: signal.Signals) -> str:
    """Why SLURM asks the job to stop, while it still runs: preempted, timeout; "" where that is not known.

    Args:
        by: the signal. SLURM sends what a job asked for (submitit takes SIGUSR2) before a time limit or a preemption
            alone, and notes when it preempts.
    """
    job = own_job()
    if job.get("PreemptTime", "") not in _NO_TIME:
        return "preempted"
    return "timeout" if by == signal.SIGUSR2 and job.get("JobState") == "RUNNING" else ""


def may_be_running(job: str, task: str | None) -> bool | None:
    """Whether a job's process may be alive, by the queue; None if that is not known.

    Args:
        job: its number, an array's own for a task of an array.
        task: its index in the array; None for a job that is none.
    """
    states = _states(job)
    return None if states is None else states.get(task or "", "GONE") in _ALIVE


def _states(job: str) -> dict[str, str] | None:
    asked, states = _answers.get(job, (-_GOOD_FOR_S, None))
    now = time.monotonic()
    if now - asked >= _GOOD_FOR_S:
        states = _ask(job)
        _answers[job] = (now, states)
    return states


def _ask(job: str) -> dict[str, str] | None:
    if shutil.which("squeue") is None:
        return None
    command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%K %T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return {} if "Invalid job id" in done.stderr else None  # it is forgotten some minutes after its end
    rows = [line.split() for line in done.stdout.splitlines()]
    return {"" if index == "N/A" else index: state for index, state in (row for row in rows if len(row) == 2)}


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
