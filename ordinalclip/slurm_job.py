"""What SLURM says of this process's own job: a signal does not tell a time limit from a preemption."""

import os
import signal
import subprocess

_PATIENCE_S = 20.0  # scontrol waits for minutes where the controller is down
_NO_TIME = ("", "None", "N/A", "(null)", "Unknown")


def own_job() -> dict[str, str]:
    """What `scontrol show job` says, key → value; empty outside of SLURM, or where it does not answer."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    name = os.environ.get("SLURM_JOB_ID", "") if array is None else f"{array}_{index}"
    if not name:
        return {}
    try:
        done = subprocess.run(
            ["scontrol", "show", "job", name, "-o"], capture_output=True, text=True, timeout=_PATIENCE_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(word.partition("=")[::2] for word in done.stdout.split())


def why_stopped(by: signal.Signals) -> str:
    """Why SLURM asks the job to stop, while it still runs: preempted, timeout; "" where that is not known.

    Args:
        by: the signal. SLURM sends what a job asked for (submitit takes SIGUSR2) before a time limit or a preemption
            alone, and notes when it preempts.
    """
    job = own_job()
    if job.get("PreemptTime", "") not in _NO_TIME:
        return "preempted"
    return "timeout" if by == signal.SIGUSR2 and job.get("JobState") == "RUNNING" else ""
