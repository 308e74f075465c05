"""A process that does one run after another and pays for its imports once; `launch.local` tells it which.

Whatever happens to its parent, it does not go on for long: when the pipe between them is closed, it is interrupted, and
where that does not end it, ended.
"""

import logging
import os
import pickle
import queue
import signal
import sys
import threading
import time
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from launch.places import Place

GRACE_S = 20.0  # to write down that a run was interrupted


@dataclass(frozen=True)
class Task:
    """One run to be done: its number in the sweep, its configuration, what was typed for it."""

    number: int
    cfg: dict[str, Any]
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Begun:
    """A run has begun in this directory."""

    directory: Path


@dataclass(frozen=True)
class Said:
    """Something that a terminal would have shown."""

    level: int
    text: str


@dataclass(frozen=True)
class Ended:
    """A run has ended; with an error, or with None."""

    error: Exception | None


class Parent:
    """Whom to tell; by whichever thread has something to tell.

    Args:
        pipe: to the parent.
    """

    def __init__(self, pipe: Connection) -> None:
        self.pipe, self._lock = pipe, threading.Lock()

    def tell(self, what: Begun | Said | Ended) -> None:
        """Sends it, one thing at a time."""
        with self._lock:
            self.pipe.send(what)


def work(pipe: Connection, place: Place) -> None:
    """Does the tasks that come through a pipe, until None comes or the pipe is closed.

    Args:
        pipe: gives `Task`s, and gets for each of them `Begun`, perhaps `Said`, and `Ended`.
        place: where to compute.
    """
    parent = Parent(pipe)
    os.setsid()  # Ctrl-C in a terminal is for the parent, who closes the pipe
    _take(place)
    # Imported here, as libraries look for cores and GPUs when they are imported.
    from ordinalclip.interrupt import Interrupt

    interrupt = Interrupt()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt.listen()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, tasks), name="parent", daemon=True).start()
    _log_to(parent)
    try:
        while (task := tasks.get()) is not None:
            interrupt.check()
            parent.tell(Ended(_do(task, parent)))
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)


def _take(place: Place) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, place.cores)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(place.threads)
    if place.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = place.gpu


def _receive(pipe: Connection, tasks: "queue.SimpleQueue[Task | None]") -> None:
    """Hands tasks on; interrupts the run when the parent is gone or has closed the pipe."""
    try:
        while (task := pipe.recv()) is not None:
            tasks.put(task)
        tasks.put(None)
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGINT)
        tasks.put(None)
        time.sleep(GRACE_S)
        os._exit(130)


def _do(task: Task, parent: Parent) -> Exception | None:
    """Brings one run to its end, and gives back what went wrong, as far as it can be sent."""
    from ordinalclip.job import run_job
    from ordinalclip.lease import Busy
    from ordinalclip.prepare import prepare
    from ordinalclip.tracking import NoMirror

    try:
        job = prepare(task.cfg, task.overrides)
        parent.tell(Begun(job.run.directory))
        try:
            run_job(job, in_sweep=True, mirror=NoMirror())  # one process writes to a store: the parent
        except Busy as busy:
            raise Busy(f"{job.run.directory.name}: {busy}; nothing was done here") from None
    except Exception as error:
        return _sendable(error)
    return None


def _sendable(error: Exception) -> Exception:
    error.__traceback__ = error.__cause__ = error.__context__ = None
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever a foreign class may raise when it is put together again
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class _ToParent(logging.Handler):
    """What a terminal would show: our own log, and the warnings of others."""

    def __init__(self, parent: Parent) -> None:
        super().__init__(logging.INFO)
        self.parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING or record.name.startswith("ordinalclip"):
            self.parent.tell(Said(record.levelno, record.getMessage()))


class _ToLog:
    """A file whose lines are logged; progress bars write whole lines where there is no terminal."""

    def __init__(self, name: str) -> None:
        self.name, self.line = name, ""

    def write(self, text: str) -> int:
        *lines, self.line = (self.line + text).split("\n")
        for line in filter(str.strip, lines):
            logging.getLogger(self.name).info("%s", line.rstrip())
        return len(text)

    def flush(self) -> None:
        """Nothing waits but a line without its end."""

    def isatty(self) -> bool:
        return False


def _log_to(parent: Parent) -> None:
    """What is logged goes to the parent, and as ever into a run's own log; so does there what is printed."""
    logging.basicConfig(level=logging.INFO, handlers=[_ToParent(parent)])
    logging.raiseExceptions = False
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="hydra.*")
    sys.stdout, sys.stderr = _ToLog("stdout"), _ToLog("stderr")
