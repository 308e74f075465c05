"""Worker processes of a run on several devices: one process per device, of which process 0 keeps the record.

Workers are started for a fit and end with it, even if it fails. Hydra runs in process 0 only, so a sweep needs no
special case for runs on several devices.
"""

import contextlib
import multiprocessing
import os
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

import torch
import torch.distributed as dist

from ordinalclip.errors import ConfigError
from ordinalclip.preparation.prepare import Job, prepare
from ordinalclip.system.distributed import SINGLE_PROCESS, World
from ordinalclip.system.interruption import SIGNALS, check_stop

_STEP_TIMEOUT = timedelta(hours=2)  # for one step of the slowest process, or an epoch's record
_CONNECT_TIMEOUT = timedelta(minutes=2)  # for connecting once all processes are ready
_POLL_S = 0.5  # seconds between checks for a signal to stop
_BLOCKED_SIGNALS = (signal.SIGINT, *SIGNALS)


def check_devices(cfg: Mapping[str, Any]) -> None:
    """Raises ConfigError if a run asks for more GPUs than the machine has."""
    accelerator, size = cfg["trainer"]["accelerator"], cfg["trainer"].get("devices", 1)
    if size == 1:
        return
    number = torch.cuda.device_count()
    if number < size and (accelerator == "gpu" or (accelerator == "auto" and number > 0)):
        problem = f"this machine has {number} GPU{'' if number == 1 else 's'} to use"
        raise ConfigError("trainer.devices", size, problem, remedy="fewer devices, or trainer.accelerator=cpu")


class WorkerFailed(RuntimeError):
    """A worker process failed. The message has its traceback, or its exit code or signal if it left none."""


@dataclass(frozen=True)
class _Worker:
    """A worker process. It sends None when it is ready to train, and a traceback if it fails.

    Attributes:
        process: it may not be started yet.
        pipe: closed when the process ends; any message sent to it stops the process.
    """

    process: SpawnProcess
    pipe: Connection

    def receive(self) -> str | None:
        """Waits for the next message or the end of the process; returns the message, or how the process ended."""
        with contextlib.suppress(EOFError, OSError):
            if self.process.is_alive() or self.pipe.poll():
                message: str | None = self.pipe.recv()
                return message
        self.process.join()
        code = self.process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = "; was there too little memory?" if code == -signal.SIGKILL else ""
        return f"{self.process.name} {how}{hint}"

    def stop(self) -> None:
        """Stops the process and waits for it to end."""
        with contextlib.suppress(OSError):
            self.pipe.send(None)
        self.pipe.close()
        if self.process.pid is not None:
            self.process.join(10)
            self.process.kill()
            self.process.join()


@contextlib.contextmanager
def worker_processes(job: Job, train_in_worker: Callable[[Job, World], None]) -> Iterator[World]:
    """Context in which all worker processes run; this process is process 0. All data must be cached before.

    Args:
        job: the job to fit; each worker prepares it again from its configuration.
        train_in_worker: what a worker runs; a module-level function, since it is pickled.

    Raises:
        WorkerFailed: a worker failed; replaces the error that this caused in process 0.
        Stopped: a signal was received while the workers were starting.
    """
    size = job.cfg["trainer"].get("devices", 1)
    if size == 1:
        yield SINGLE_PROCESS
        return
    workers: list[_Worker] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            with _signals_blocked():
                for rank in range(1, size):
                    _start(workers, job, World(rank, size), folder, train_in_worker)
            for worker in workers:
                while not worker.pipe.poll(_POLL_S):
                    check_stop()
                if (failure := worker.receive()) is not None:
                    raise WorkerFailed(failure)
            try:
                join(World(0, size), folder, _CONNECT_TIMEOUT)
                dist.set_timeout(_STEP_TIMEOUT)
                yield World(0, size)
            except RuntimeError as error:
                check_stop()  # a signal that ended the workers before it was noticed here
                received = [
                    worker.receive() for worker in workers if worker.pipe.poll(1.0) or not worker.process.is_alive()
                ]
                # Processes without a traceback come first: the failures of the others may follow from theirs.
                if failures := sorted(filter(None, received), key=lambda words: "\n" in words):
                    raise WorkerFailed("\n".join(failures)) from error
                raise
        finally:
            for worker in workers:
                worker.stop()
            if dist.is_initialized():
                dist.destroy_process_group()


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Blocks signals, also in processes started in this context: process 0 handles signals and stops the workers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED_SIGNALS)
    try:
        resource_tracker.ensure_running()  # unblocks two of them when the first process is started
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED_SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(
    workers: list[_Worker], job: Job, world: World, folder: str, train_in_worker: Callable[[Job, World], None]
) -> None:
    """Starts a worker. It is appended to `workers` before it is started, so that Ctrl-C cannot leave it running."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (theirs, job.cfg, job.overrides, world, folder, torch.get_num_threads(), train_in_worker)
    process = context.Process(target=_worker_main, args=arguments, name=f"process {world.rank} of {world.size}")
    workers.append(_Worker(process, ours))
    process.start()
    theirs.close()  # otherwise the end of the worker would not close the pipe


def join(world: World, folder: str, timeout: timedelta) -> None:
    """Initializes the process group by a file in `folder`, which belongs to this fit. Blocks signals meanwhile."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    where = f"file://{folder}/meet"
    dist.init_process_group(backend, init_method=where, rank=world.rank, world_size=world.size, timeout=timeout)


def _worker_main(
    pipe: Connection,
    cfg: dict[str, Any],
    overrides: tuple[str, ...],
    world: World,
    folder: str,
    threads: int,
    train_in_worker: Callable[[Job, World], None],
) -> None:
    threading.Thread(target=_exit_with_parent, args=(pipe,), name="process 0", daemon=True).start()
    try:
        torch.set_num_threads(threads)
        job = prepare(cfg, overrides)
        pipe.send(None)
        join(world, folder, _STEP_TIMEOUT)
        train_in_worker(job, world)
    except BaseException:
        with contextlib.suppress(OSError):
            pipe.send(f"process {world.rank} of {world.size}:\n{traceback.format_exc()}")
        os._exit(1)


def _exit_with_parent(pipe: Connection) -> None:
    """Ends this process when its parent ends or sends a message. Nothing is lost: workers write no files."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os._exit(1)
