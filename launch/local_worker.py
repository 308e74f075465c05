"""The places of one machine that runs can be at: each has a share of the cores, or a GPU and a share of the cores."""

import logging
import os
import pickle
import queue
import signal
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

from ordinalclip.config.kinds import Between
from ordinalclip.errors import ConfigError


@dataclass(frozen=True)
class Place:
    """Where one run at a time is.

    Attributes:
        cores: that its process may use.
        threads: that it computes with. Equal ones give equal bits, so all places have the same number.
        gpu: what CUDA_VISIBLE_DEVICES says there, several with commas; None = no GPU.
    """

    cores: tuple[int, ...]
    threads: int
    gpu: str | None = None


@dataclass
class LocalSettings:
    """Keys of `hydra/launcher=local`.

    Attributes:
        jobs: runs at a time; null = as many as the GPUs hold, else cores / threads.
        jobs_per_gpu: runs that share a GPU.
        threads: of each run; null = OMP_NUM_THREADS, else cores / jobs, else 1.
    """

    jobs: Annotated[int, Between(1, 10_000)] | None
    jobs_per_gpu: Annotated[int, Between(1, 1_000)]
    threads: Annotated[int, Between(1, 10_000)] | None


def divide(settings: LocalSettings, cores: Sequence[int], gpus: Sequence[str]) -> list[Place]:
    """The places of a machine. They depend on it and the settings alone, not on how many runs there are to do.

    Args:
        settings: checked ones.
        cores: that this process may use.
        gpus: what CUDA_VISIBLE_DEVICES may say, see `in_groups`; empty where runs are not to use one.

    Raises:
        ConfigError: more runs at a time than the GPUs hold.
    """
    held = len(gpus) * settings.jobs_per_gpu
    if gpus and settings.jobs is not None and settings.jobs > held:
        all_gpus = ",".join(gpus).split(",")
        problem = f"{len(all_gpus)} GPU{'s' if len(all_gpus) > 1 else ''} hold {held} at a time"
        remedy = f"hydra.launcher.jobs_per_gpu={-(-settings.jobs // len(gpus))}"
        raise ConfigError("hydra.launcher.jobs", settings.jobs, problem, remedy=remedy)
    jobs = held or None if settings.jobs is None else settings.jobs
    threads = settings.threads if settings.threads is not None else _threads_asked_for()
    if threads is None:
        threads = 1 if jobs is None else max(len(cores) // jobs, 1)
    if jobs is None:
        jobs = max(len(cores) // threads, 1)
    share = max(len(cores) // jobs, 1)
    # With more runs than cores for them none has a core of its own, and the system places them better than we could.
    shares = [tuple(cores[n * share : (n + 1) * share]) if jobs <= len(cores) else tuple(cores) for n in range(jobs)]
    return [Place(shares[n], threads, gpus[n % len(gpus)] if gpus else None) for n in range(jobs)]


def in_groups(gpus: Sequence[str], devices: int) -> list[str]:
    """GPUs as runs on so many devices take them: each group is what CUDA_VISIBLE_DEVICES says of one place.

    Raises:
        ConfigError: there are fewer than one run needs.
    """
    if gpus and len(gpus) < devices:
        problem = f"there {'are' if len(gpus) > 1 else 'is'} {len(gpus)} GPU{'s' if len(gpus) > 1 else ''} here"
        raise ConfigError("trainer.devices", devices, problem, allowed=f"at most {len(gpus)}, or trainer=cpu")
    whole = len(gpus) - len(gpus) % devices
    return [",".join(gpus[start : start + devices]) for start in range(0, whole, devices)]


def own_cores() -> list[int]:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def own_gpus() -> list[str]:
    """GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES gives them."""
    import torch

    number = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:number] if named is not None else [str(gpu) for gpu in range(number)]


def _threads_asked_for() -> int | None:
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) > 0 else None


# MERGED: """A process that does one run after another and pays for its imports once; `launch.local` tells it which.
#
# Whatever happens to its parent, it does not go on for long: when the pipe between them is closed, it is interrupted, and
# where that does not end it, ended.
# """


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
    from ordinalclip.system.interruption import Interrupt

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
    from ordinalclip.execution.job import run_job
    from ordinalclip.preparation.prepare import prepare
    from ordinalclip.runs.leases import Busy
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
