"""A job on another machine that ended without its run being finished."""

import signal
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


class JobFailed(RuntimeError):
    """What happened to a job, in words.

    Args:
        problem: what happened.
        log: where more of it stands.
    """

    def __init__(self, problem: str, log: Path) -> None:
        super().__init__(problem)
        self.log = log


# MERGED: """How SLURM says that a job ended, in words. Its commands wait where no controller answers; each has a time limit."""


_PATIENCE_S = 20.0
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")
WORKING = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
_WORDS = {
    "TIMEOUT": "reached its time limit and was not requeued",
    "DEADLINE": "could not end before its deadline",
    "OUT_OF_MEMORY": "ran out of memory (cluster.mem_gb)",
    "CANCELLED": "was cancelled",
    "NODE_FAIL": "lost its node and was not requeued",
    "BOOT_FAIL": "lost its node, which did not start",
    "PREEMPTED": "was preempted and not requeued",
    "REVOKED": "was revoked",
}
# What kills; Python itself exits with none of these.
_SIGNALS = (signal.SIGABRT, signal.SIGBUS, signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM)


@dataclass(frozen=True)
class Outcome:
    """What SLURM says of a job.

    Attributes:
        state: SLURM's word, such as RUNNING or OUT_OF_MEMORY.
        exit_code: of its process, `1:0`: status and signal; "" where it is not known.
        node: where it runs or ran.
        before: SLURM's word for how the attempt before this one ended, of a job that was requeued.
    """

    state: str
    exit_code: str = ""
    node: str = ""
    before: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of the job."""
        return self.state not in (*WAITING, *WORKING)

    def __str__(self) -> str:
        status, _, by = self.exit_code.partition(":")
        words = _WORDS.get(self.state)
        if words is None and self.state == "FAILED":
            if by == "0" and int(status) % 128 in _SIGNALS:  # srun tells of one by its number, shells add 128
                by = str(int(status) % 128)
            killed = by if by != "0" else ""
            hint = "; was there too little memory?" if killed == "9" else ""
            words = f"was killed by signal {killed}{hint}" if killed else f"failed with exit code {status or '?'}"
        return f"{words or self.state.lower()}{f' on {self.node}' if self.node else ''}"


def ask_queue(jobs: Iterable[str]) -> dict[str, Outcome] | None:
    """What the queue says of jobs or whole arrays, by `17` or `17_3`; it forgets them some minutes after their end.

    Returns:
        None where the controller does not answer.
    """
    found: dict[str, Outcome] = {}
    for job in jobs:
        answer = _run("squeue", "-h", "-r", "--states=all", f"--jobs={job}", "-O", _squeue_format())
        if answer is None:
            return None
        for line in answer.splitlines():
            array, index, state, code, node = (line[start : start + 40].strip() for start in range(0, 200, 40))
            found[array if index == "N/A" else f"{array}_{index}"] = Outcome(state, _status(code), node)
    return found


def ask_accounts(jobs: Sequence[str]) -> dict[str, Outcome] | None:
    """What the accounts say; None where the site keeps none, or they do not answer."""
    # -D: each attempt of a requeued job is a row, the newest last.
    answer = _run("sacct", "-X", "-D", "-n", "-P", "-j", ",".join(jobs), "-o", "JobID,State,ExitCode,NodeList")
    if answer is None:
        return None
    found: dict[str, Outcome] = {}
    for row in (line.split("|") for line in answer.splitlines()):
        if len(row) == 4:
            before = found[row[0]].state if row[0] in found else ""
            node = "" if row[3] == "None assigned" else row[3]
            found[row[0]] = Outcome(row[1].split(" ")[0], row[2], node, before)  # CANCELLED is followed by who did it
    return found


def keeps_accounts() -> bool:
    """Whether `sacct` answers."""
    return _run("sacct", "-X", "-n", "-S", "now") is not None


def _squeue_format() -> str:
    return ",".join(f"{name}:40" for name in ("ArrayJobID", "ArrayTaskID", "State", "exit_code", "NodeList"))


def _status(code: str) -> str:
    """The exit code as sacct shows it, of a wait status as squeue does."""
    return f"{int(code) >> 8}:{int(code) & 127}" if code.isdecimal() else ""


def _run(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode == 0:
        return done.stdout
    return "" if "Invalid job id" in done.stderr else None
