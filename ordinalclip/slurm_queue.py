"""What SLURM's queue says of a job. It is asked with a time limit: it waits for minutes if its controller is down."""

import shutil
import subprocess
import time

_PATIENCE_S = 10.0
_GOOD_FOR_S = 5.0  # of an answer, so that a table of a thousand runs asks once an array
_ALIVE = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING", "CONFIGURING")

_answers: dict[str, tuple[float, dict[str, str] | None]] = {}  # job → when it was asked for, states of its tasks


def works(job: str, task: str | None) -> bool | None:
    """Whether a job's process may be alive, by the queue; None where that cannot be told.

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
