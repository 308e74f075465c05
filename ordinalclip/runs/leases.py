"""Leases: the right to write to a run's directory, held by the newest of its numbered attempts.

An attempt is a file `attempts/0001.json` that exactly one process can create. There is no lock that could survive a
SIGKILL: if the process of an attempt is dead, the next process takes the next number, and a writer that finds a newer
number than its own has been superseded.
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


class Lease:
    """The right to write to a run's directory, held until `release` or until superseded.

    A thread touches the attempt's file every `HEARTBEAT_S` seconds.

    Args:
        directory: the run's existing directory.

    Raises:
        Busy: another process holds the lease.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "attempts").mkdir(exist_ok=True)
        # The number follows the attempt that was found dead. If the newest were looked up again, an attempt created in
        # between would be superseded although it is alive.
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
        """Raises Superseded if a newer attempt exists or the run's directory was moved."""
        newest = newest_attempt(self.directory)
        if newest is None or newest[0] != self.number:
            raise Superseded(
                f"{self.directory}: attempt {self.number} was followed by a newer one; nothing was written"
            )

    def follow(self, directory: Path) -> None:
        """Updates the path after the holder has moved the run's directory."""
        self.directory, self.path = directory, directory / "attempts" / self.path.name

    def release(self, outcome: str) -> None:
        """Ends the attempt; does nothing if it has been superseded."""
        self._stop.set()
        with contextlib.suppress(Superseded, OSError):
            self.check()
            ended = self._content | {"ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "outcome": outcome}
            draft = self.path.with_suffix(".draft")
            try:
                draft.write_text(json.dumps(ended), encoding="utf-8")
                os.replace(draft, self.path)
            except OSError:  # a full disk: the existing file can still be overwritten
                draft.unlink(missing_ok=True)
                overwrite_in_place(self.path, json.dumps(ended))


def living_attempt(directory: Path) -> dict[str, Any] | None:
    """Returns the content of the attempt that is working on a run now, or None."""
    newest = newest_attempt(directory)
    return None if newest is None else _living(newest[1])


def newest_attempt(directory: Path) -> tuple[int, Path] | None:
    """Returns number and file of the newest attempt of a run's directory, or None."""
    files = [file for file in (directory / "attempts").glob("*.json") if file.stem.isdecimal()]
    return max(((int(file.stem), file) for file in files), default=None)


def is_alive(attempt: Mapping[str, Any], heartbeat_age_s: float) -> bool:
    """Returns whether the process of an attempt may still be writing.

    Args:
        attempt: content of an attempt's file.
        heartbeat_age_s: seconds since the file was last touched, by the file system's clock.
    """
    if attempt.get("ended") is not None:
        return False
    me, job, task = identity(), attempt["slurm_job"], attempt["slurm_task"]
    same_job = job is not None and (job, task) == (me["slurm_job"], me["slurm_task"])
    if same_job and attempt["slurm_restart"] < me["slurm_restart"]:
        return False  # even if the old process lives: SLURM lost its node and requeued the job as this process
    if attempt["host"] == me["host"]:
        start = process_start(attempt["pid"])
        return start is not None and start == attempt["pid_start"]
    if heartbeat_age_s > STALE_AFTER_S:
        return False
    return job is None or same_job or slurm.may_be_running(job, task) is not False


def identity() -> dict[str, Any]:
    """Returns what identifies this process on this and other hosts."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "pid_start": process_start(os.getpid()),
        "slurm_job": os.environ.get("SLURM_ARRAY_JOB_ID", os.environ.get("SLURM_JOB_ID")),
        "slurm_task": os.environ.get("SLURM_ARRAY_TASK_ID"),
        "slurm_restart": int(os.environ.get("SLURM_RESTART_COUNT", "0")),
        "slurm_node": os.environ.get("SLURMD_NODENAME"),
    }


def process_start(pid: int) -> float | None:
    """Returns the start time of a local process in clock ticks since boot, or None if it does not exist."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if not _exists(pid) else 0.0
    # The command name may contain spaces and parentheses, so fields are counted from its closing parenthesis.
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


def _living(file: Path) -> dict[str, Any] | None:
    """Returns the content of an attempt's file if its process is alive, else None."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        age = _clock(file.parent.parent) - file.stat().st_mtime
        return content if is_alive(content, age) else None
    except (OSError, ValueError, KeyError, TypeError):  # deleted, incomplete, or another program's file
        return None


def _clock(directory: Path) -> float:
    """Returns the current time by the file system's clock; the clocks of hosts that share it may differ."""
    probe = directory / "attempts" / f".clock-{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
    except OSError:  # for example a read-only folder of another user
        return time.time()
    return now
