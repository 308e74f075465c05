"""Queries of SLURM: this process's own job, whether another job still runs, and how many tasks srun started.

`scontrol` and `squeue` wait for minutes when the controller is down, so each call has a time limit.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import Any

from ordinalclip.errors import ConfigError

_SCONTROL_TIMEOUT_S = 20.0
_SQUEUE_TIMEOUT_S = 10.0
_CACHE_S = 5.0  # a table of a thousand runs queries each array once
_NO_TIME = ("", "None", "N/A", "(null)", "Unknown")
_ALIVE = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING", "CONFIGURING")
_answers: dict[str, tuple[float, dict[str, str] | None]] = {}  # job → (time of the query, task → state)


def own_job() -> dict[str, str]:
    """Returns `scontrol show job` of this process's job as key → value; empty outside SLURM or without an answer."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    name = os.environ.get("SLURM_JOB_ID", "") if array is None else f"{array}_{index}"
    if not name:
        return {}
    try:
        done = subprocess.run(
            ["scontrol", "show", "job", name, "-o"], capture_output=True, text=True, timeout=_SCONTROL_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(word.partition("=")[::2] for word in done.stdout.split())


def stop_reason(by: signal.Signals) -> str:
    """Returns why SLURM asks this job to stop: "preempted", "timeout", or "" if unknown.

    Args:
        by: the signal that arrived. It does not distinguish the two: SLURM sends the signal that the job requested
            (submitit requests SIGUSR2) before a time limit and before a preemption. Only the latter sets PreemptTime.
    """
    job = own_job()
    if job.get("PreemptTime", "") not in _NO_TIME:
        return "preempted"
    return "timeout" if by == signal.SIGUSR2 and job.get("JobState") == "RUNNING" else ""


def may_be_running(job: str, task: str | None) -> bool | None:
    """Returns whether a job may still run according to the queue, or None if squeue does not answer.

    Args:
        job: job id, or the array's id for a task of an array.
        task: index in the array; None for a job outside an array.
    """
    states = _states(job)
    return None if states is None else states.get(task or "", "GONE") in _ALIVE


def _states(job: str) -> dict[str, str] | None:
    asked, states = _answers.get(job, (-_CACHE_S, None))
    now = time.monotonic()
    if now - asked >= _CACHE_S:
        states = _ask(job)
        _answers[job] = (now, states)
    return states


def _ask(job: str) -> dict[str, str] | None:
    if shutil.which("squeue") is None:
        return None
    command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%K %T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SQUEUE_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return {} if "Invalid job id" in done.stderr else None  # SLURM forgets a job some minutes after its end
    rows = [line.split() for line in done.stdout.splitlines()]
    return {"" if index == "N/A" else index: state for index, state in (row for row in rows if len(row) == 2)}


def check_single_start(cfg: Mapping[str, Any]) -> None:
    """Refuses a run on several devices that `srun -n2` starts several times.

    A run starts the processes of its devices itself, so srun must start a single task.

    Args:
        cfg: the configuration. A run on one device is not checked: several tasks may be separate runs.

    Raises:
        ConfigError: this process is one of several tasks that srun started.
    """
    tasks, devices = os.environ.get("SLURM_STEP_NUM_TASKS", "1"), cfg["trainer"].get("devices", 1)
    if devices > 1 and tasks.isdecimal() and int(tasks) > 1:
        problem = f"srun started this {tasks} times, and each would start processes for all devices"
        raise ConfigError(
            "trainer.devices", devices, problem, remedy=f"one task with all of them: srun -n1 --gpus={devices}"
        )
