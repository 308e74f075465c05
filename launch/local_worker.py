"""A worker process of `hydra/launcher=local`: trains one run after another and imports libraries once.

The launcher (`launch.local`) sends a `Task` through a pipe; the worker answers with `RunStarted`, any number of
`LogMessage`s, and `RunEnded`. If the launcher dies or closes the pipe, the current run is interrupted, and the process
exits after `GRACE_S` seconds at most.
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

from launch.devices import Slot

GRACE_S = 20.0  # for an interrupted run to be recorded


@dataclass(frozen=True)
class Task:
    """One run to train: its number in the sweep, its configuration, its overrides."""

    number: int
    cfg: dict[str, Any]
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class RunStarted:
    """A run has started in this directory."""

    directory: Path


@dataclass(frozen=True)
class LogMessage:
    """A message for the launcher's terminal."""

    level: int
    text: str


@dataclass(frozen=True)
class RunEnded:
    """A run has ended, with an error or None."""

    error: Exception | None


class LauncherPipe:
    """The pipe to the launcher; any thread may send.

    Args:
        pipe: to the launcher.
    """

    def __init__(self, pipe: Connection) -> None:
        self.pipe, self._lock = pipe, threading.Lock()

    def send(self, message: RunStarted | LogMessage | RunEnded) -> None:
        """Sends one message."""
        with self._lock:
            self.pipe.send(message)


def work(pipe: Connection, slot: Slot) -> None:
    """Entry point of the process: trains tasks until None is received or the pipe is closed.

    Args:
        pipe: receives `Task`s; sends `RunStarted`, `LogMessage` and `RunEnded`.
        slot: cores, threads and GPU to use.
    """
    launcher = LauncherPipe(pipe)
    os.setsid()  # Ctrl-C in a terminal goes to the launcher, which closes the pipe
    _occupy(slot)
    # Imported here, since libraries count cores and GPUs at import.
    from ordinalclip.system.interruption import Interrupt

    interrupt = Interrupt()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt.listen()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, tasks), name="parent", daemon=True).start()
    _redirect_output(launcher)
    try:
        while (task := tasks.get()) is not None:
            interrupt.check()
            launcher.send(RunEnded(_train(task, launcher)))
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)


def _occupy(slot: Slot) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, slot.cores)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(slot.threads)
    if slot.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = slot.gpu


def _receive(pipe: Connection, tasks: "queue.SimpleQueue[Task | None]") -> None:
    """Queues tasks; interrupts the current run when the launcher has died or closed the pipe."""
    try:
        while (task := pipe.recv()) is not None:
            tasks.put(task)
        tasks.put(None)
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGINT)
        tasks.put(None)
        time.sleep(GRACE_S)
        os._exit(130)


def _train(task: Task, launcher: LauncherPipe) -> Exception | None:
    """Trains one run and returns its error, if any, in a form that can be pickled."""
    from ordinalclip.errors import Busy
    from ordinalclip.execution.job import run_job
    from ordinalclip.preparation.prepare import prepare
    from ordinalclip.tracking import NoMirror

    try:
        job = prepare(task.cfg, task.overrides)
        launcher.send(RunStarted(job.run.directory))
        try:
            run_job(job, in_sweep=True, mirror=NoMirror())  # the launcher is the only writer of a store
        except Busy as busy:
            raise Busy(f"{job.run.directory.name}: {busy}; nothing was done here") from None
    except Exception as error:
        return _picklable(error)
    return None


def _picklable(error: Exception) -> Exception:
    error.__traceback__ = error.__cause__ = error.__context__ = None
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # any error that a third-party class raises when it is unpickled
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class _LauncherHandler(logging.Handler):
    """Sends this project's log records and all warnings to the launcher."""

    def __init__(self, launcher: LauncherPipe) -> None:
        super().__init__(logging.INFO)
        self.launcher = launcher

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING or record.name.startswith("ordinalclip"):
            self.launcher.send(LogMessage(record.levelno, record.getMessage()))


class _LoggedStream:
    """A file object that logs whole lines; progress bars write whole lines outside of a terminal."""

    def __init__(self, name: str) -> None:
        self.name, self.line = name, ""

    def write(self, text: str) -> int:
        *lines, self.line = (self.line + text).split("\n")
        for line in filter(str.strip, lines):
            logging.getLogger(self.name).info("%s", line.rstrip())
        return len(text)

    def flush(self) -> None:
        """Does nothing: an incomplete line waits for its end."""

    def isatty(self) -> bool:
        return False


def _redirect_output(launcher: LauncherPipe) -> None:
    """Sends log records to the launcher; stdout and stderr are logged, and so reach the run's own log only."""
    logging.basicConfig(level=logging.INFO, handlers=[_LauncherHandler(launcher)])
    logging.raiseExceptions = False
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="hydra.*")
    sys.stdout, sys.stderr = _LoggedStream("stdout"), _LoggedStream("stderr")
