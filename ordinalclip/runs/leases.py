"""Who may write to a run's directory: numbered attempts, of which only the newest counts.

An attempt is a file `attempts/0001.json` that exactly one process can create. Nothing is ever locked, so nothing stays
locked after a SIGKILL: an attempt whose process is gone is simply followed by the next number, and a writer that finds
a newer number than its own knows that it has been superseded.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ordinalclip.errors import Busy, Superseded
from ordinalclip.system import slurm
from ordinalclip.system.files import overwrite_in_place

HEARTBEAT_S = 30.0
STALE_AFTER_S = 300.0


def process_start(pid: int) -> float | None:
    """Start time of a local process in clock ticks since boot, or None when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if not _exists(pid) else 0.0
    # The command name may hold spaces and parentheses; the fields are counted from its closing one.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else float(fields[19])


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not Path("/proc/self").exists()


def identity() -> dict[str, Any]:
    """This process, as other processes and other hosts can recognise it."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "pid_start": process_start(os.getpid()),
        "slurm_job": os.environ.get("SLURM_ARRAY_JOB_ID", os.environ.get("SLURM_JOB_ID")),
        "slurm_task": os.environ.get("SLURM_ARRAY_TASK_ID"),
        "slurm_restart": int(os.environ.get("SLURM_RESTART_COUNT", "0")),
        "slurm_node": os.environ.get("SLURMD_NODENAME"),
    }


def is_alive(attempt: Mapping[str, Any], heartbeat_age_s: float) -> bool:
    """Whether the process of an attempt may still be writing.

    Args:
        attempt: content of an attempt's file.
        heartbeat_age_s: seconds since its last sign of life, by the file system's clock.
    """
    if attempt.get("ended") is not None:
        return False
    me, job, task = identity(), attempt["slurm_job"], attempt["slurm_task"]
    same_job = job is not None and (job, task) == (me["slurm_job"], me["slurm_task"])
    if same_job and attempt["slurm_restart"] < me["slurm_restart"]:
        return False  # even where it lives: SLURM has lost its node, and gave this process the run
    if attempt["host"] == me["host"]:
        start = process_start(attempt["pid"])
        return start is not None and start == attempt["pid_start"]
    if heartbeat_age_s > STALE_AFTER_S:
        return False
    return job is None or same_job or slurm.may_be_running(job, task) is not False


def newest_attempt(directory: Path) -> tuple[int, Path] | None:
    """Number and file of the newest attempt under `directory`, or None."""
    files = [file for file in (directory / "attempts").glob("*.json") if file.stem.isdecimal()]
    return max(((int(file.stem), file) for file in files), default=None)


def living_attempt(directory: Path) -> dict[str, Any] | None:
    """The attempt that works on a run at this moment, or None."""
    newest = newest_attempt(directory)
    return None if newest is None else _living(newest[1])


def _living(file: Path) -> dict[str, Any] | None:
    """Content of an attempt's file if its process lives."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        age = _clock(file.parent.parent) - file.stat().st_mtime
        return content if is_alive(content, age) else None
    except (OSError, ValueError, KeyError, TypeError):  # gone, torn, or not one of ours
        return None


def _clock(directory: Path) -> float:
    """The file system's idea of now: hosts that share it may disagree with each other."""
    probe = directory / "attempts" / f".clock-{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
    except OSError:  # read-only, say: someone else's runs, looked at
        return time.time()
    return now


class Lease:
    """The right to write to a run's directory, held until `release` or until superseded.

    Args:
        directory: the run's directory, which exists.

    Raises:
        Busy: when a living process holds it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "attempts").mkdir(exist_ok=True)
        # The number follows the very attempt that was found dead. Were the newest looked up again, a process that came
        # in between would be followed, and so superseded, as if it were dead.
        newest = newest_attempt(directory)
        living = None if newest is None else _living(newest[1])
        if living is not None:
            raise Busy(f"process {living['pid']} on {living['host']} is working on it since {living['started']}")
        self.number = 1 if newest is None else newest[0] + 1
        self.path = directory / "attempts" / f"{self.number:04d}.json"
        self._content = identity() | {
            "attempt": self.number,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "ended": None,
        }
        # Of this claim alone: another thread's claim would take a draft named by the process away.
        draft = self.path.with_suffix(f".{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}")
        draft.write_text(json.dumps(self._content), encoding="utf-8")
        try:
            os.link(draft, self.path)  # atomic, and fails where two processes race for one number
        except FileExistsError:
            raise Busy("another process has just taken it") from None
        finally:
            draft.unlink()
        self._stop = threading.Event()
        threading.Thread(target=self._beat, name="lease heartbeat", daemon=True).start()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            with contextlib.suppress(OSError):
                os.utime(self.path)

    def check(self) -> None:
        """Raises Superseded when a newer attempt exists, or the run's directory was taken away."""
        newest = newest_attempt(self.directory)
        if newest is None or newest[0] != self.number:
            raise Superseded(
                f"{self.directory}: attempt {self.number} was followed by a newer one; nothing was written"
            )

    def follow(self, directory: Path) -> None:
        """Holds on to a run whose directory was moved by its holder."""
        self.directory, self.path = directory, directory / "attempts" / self.path.name

    def release(self, outcome: str) -> None:
        """Ends the attempt; harmless when it has been superseded."""
        self._stop.set()
        with contextlib.suppress(Superseded, OSError):
            self.check()
            ended = self._content | {"ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "outcome": outcome}
            draft = self.path.with_suffix(".draft")
            try:
                draft.write_text(json.dumps(ended), encoding="utf-8")
                os.replace(draft, self.path)
            except OSError:  # a full disk, on which the file's own place is left
                draft.unlink(missing_ok=True)
                overwrite_in_place(self.path, json.dumps(ended))
