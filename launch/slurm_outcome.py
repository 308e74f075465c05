"""The state of SLURM jobs and how they ended, from squeue and sacct.

Every command has a time limit, since SLURM's commands block for minutes when the controller is down.
"""

import signal
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_S = 20.0
_PENDING_STATES = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")
_RUNNING_STATES = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
_DESCRIPTIONS = {
    "TIMEOUT": "reached its time limit and was not requeued",
    "DEADLINE": "could not end before its deadline",
    "OUT_OF_MEMORY": "ran out of memory (cluster.mem_gb)",
    "CANCELLED": "was cancelled",
    "NODE_FAIL": "lost its node and was not requeued",
    "BOOT_FAIL": "lost its node, which did not start",
    "PREEMPTED": "was preempted and not requeued",
    "REVOKED": "was revoked",
}
# Python itself exits with none of these.
_FATAL_SIGNALS = (signal.SIGABRT, signal.SIGBUS, signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM)
_SQUEUE_FORMAT = ",".join(f"{name}:40" for name in ("ArrayJobID", "ArrayTaskID", "State", "exit_code", "NodeList"))


class JobFailed(RuntimeError):
    """A job ended without finishing its run.

    Args:
        problem: what happened.
        log: the file with details.
    """

    def __init__(self, problem: str, log: Path) -> None:
        super().__init__(problem)
        self.log = log


@dataclass(frozen=True)
class JobOutcome:
    """The state of a SLURM job; `str` describes how it ended.

    Attributes:
        state: SLURM's state, such as RUNNING or OUT_OF_MEMORY.
        exit_code: exit status and signal, `1:0`; "" if not known.
        node: the node that the job runs or ran on.
        before: for a requeued job, SLURM's state at the end of the attempt before this one.
    """

    state: str
    exit_code: str = ""
    node: str = ""
    before: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the job has ended for good."""
        return self.state not in (*_PENDING_STATES, *_RUNNING_STATES)

    def __str__(self) -> str:
        status, _, by = self.exit_code.partition(":")
        words = _DESCRIPTIONS.get(self.state)
        if words is None and self.state == "FAILED":
            if by == "0" and int(status) % 128 in _FATAL_SIGNALS:  # srun reports the number, shells add 128
                by = str(int(status) % 128)
            killed = by if by != "0" else ""
            hint = "; was there too little memory?" if killed == "9" else ""
            words = f"was killed by signal {killed}{hint}" if killed else f"failed with exit code {status or '?'}"
        return f"{words or self.state.lower()}{f' on {self.node}' if self.node else ''}"


def query_queue(jobs: Iterable[str]) -> dict[str, JobOutcome] | None:
    """Queries squeue for jobs or whole arrays. SLURM drops a job from the queue some minutes after its end.

    Returns:
        Job id (`17`, or `17_3` in an array) → outcome; None if the controller does not answer.
    """
    found: dict[str, JobOutcome] = {}
    for job in jobs:
        answer = _run("squeue", "-h", "-r", "--states=all", f"--jobs={job}", "-O", _SQUEUE_FORMAT)
        if answer is None:
            return None
        for line in answer.splitlines():
            array, index, state, code, node = (line[start : start + 40].strip() for start in range(0, 200, 40))
            found[array if index == "N/A" else f"{array}_{index}"] = JobOutcome(state, _exit_code(code), node)
    return found


def query_accounting(jobs: Sequence[str]) -> dict[str, JobOutcome] | None:
    """Queries sacct; returns None if the site keeps no accounting, or it does not answer."""
    # -D: one row per attempt of a requeued job, the newest last.
    answer = _run("sacct", "-X", "-D", "-n", "-P", "-j", ",".join(jobs), "-o", "JobID,State,ExitCode,NodeList")
    if answer is None:
        return None
    found: dict[str, JobOutcome] = {}
    for row in (line.split("|") for line in answer.splitlines()):
        if len(row) == 4:
            before = found[row[0]].state if row[0] in found else ""
            node = "" if row[3] == "None assigned" else row[3]
            found[row[0]] = JobOutcome(row[1].split(" ")[0], row[2], node, before)  # "CANCELLED by 0"
    return found


def has_accounting() -> bool:
    """Whether `sacct` answers."""
    return _run("sacct", "-X", "-n", "-S", "now") is not None


def _exit_code(code: str) -> str:
    """Converts the wait status that squeue prints to sacct's `status:signal`."""
    return f"{int(code) >> 8}:{int(code) & 127}" if code.isdecimal() else ""


def _run(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode == 0:
        return done.stdout
    return "" if "Invalid job id" in done.stderr else None
