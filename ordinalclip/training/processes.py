"""The processes beside this one that a run on several devices takes: they compute, this one keeps the record.

They are started for a fit and end with it, whatever ends it, so a run on several devices is like any other to a sweep:
Hydra runs in this process only.
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

_PATIENCE = timedelta(hours=2)  # for one step of the slowest process, or an epoch's record
_MEETING = timedelta(minutes=2)  # for those that are all there to connect
_LOOK_S = 0.5  # seconds between checks for a signal to stop
_HELD = (signal.SIGINT, *SIGNALS)


class HelperFailed(RuntimeError):
    """Another process of the run failed: its traceback is in the message, or what ended it without a word."""


@dataclass(frozen=True)
class _Helper:
    """A helper process. It sends None when it is ready to train, and the reason if it fails.

    Attributes:
        process: perhaps not started yet.
        pipe: closed by its end; whatever is sent to it ends it.
    """

    process: SpawnProcess
    pipe: Connection

    def hear(self) -> str | None:
        """Waits for its next message or its end; returns the message or how it ended."""
        with contextlib.suppress(EOFError, OSError):
            if self.process.is_alive() or self.pipe.poll():
                said: str | None = self.pipe.recv()
                return said
        self.process.join()
        code = self.process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = "; was there too little memory?" if code == -signal.SIGKILL else ""
        return f"{self.process.name} {how}{hint}"

    def end(self) -> None:
        """Has it end, and waits for that."""
        with contextlib.suppress(OSError):
            self.pipe.send(None)
        self.pipe.close()
        if self.process.pid is not None:
            self.process.join(10)
            self.process.kill()
            self.process.join()


@contextlib.contextmanager
def gathered(job: Job, help_fit: Callable[[Job, World], None]) -> Iterator[World]:
    """The world of a fit, with this process as its first; all data must be in the caches by now.

    Args:
        job: the fit's; each helper prepares it again.
        help_fit: what a helper runs; a function of a module, since it is sent to other processes.

    Raises:
        HelperFailed: in place of what came of it here.
        Stopped: a signal came while the others were starting.
    """
    size = job.cfg["trainer"].get("devices", 1)
    if size == 1:
        yield SINGLE_PROCESS
        return
    helpers: list[_Helper] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            with _signals_held():
                for rank in range(1, size):
                    _start(helpers, job, World(rank, size), folder, help_fit)
            for helper in helpers:
                while not helper.pipe.poll(_LOOK_S):
                    check_stop()
                if (failure := helper.hear()) is not None:
                    raise HelperFailed(failure)
            try:
                join(World(0, size), folder, _MEETING)
                dist.set_timeout(_PATIENCE)
                yield World(0, size)
            except RuntimeError as error:
                check_stop()  # a signal that reached them before it was noticed here
                heard = [helper.hear() for helper in helpers if helper.pipe.poll(1.0) or not helper.process.is_alive()]
                # First those that died without a traceback: what the others failed of may follow from that.
                if told := sorted(filter(None, heard), key=lambda words: "\n" in words):
                    raise HelperFailed("\n".join(told)) from error
                raise
        finally:
            for helper in helpers:
                helper.end()
            if dist.is_initialized():
                dist.destroy_process_group()


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Signals wait in here, and never reach a process that is started in here: they are for this one, who ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        resource_tracker.ensure_running()  # would let two of them through when the first process is started
        signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(helpers: list[_Helper], job: Job, world: World, folder: str, help_fit: Callable[[Job, World], None]) -> None:
    """Starts one more helper; it is in the list before it lives, lest Ctrl-C leave it behind."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    arguments = (theirs, job.cfg, job.overrides, world, folder, torch.get_num_threads(), help_fit)
    process = context.Process(target=_help, args=arguments, name=f"process {world.rank} of {world.size}")
    helpers.append(_Helper(process, ours))
    process.start()
    theirs.close()  # else its end would not be noticed


def check_devices(cfg: Mapping[str, Any]) -> None:
    """Raises ConfigError where there are GPUs to be used, but too few."""
    accelerator, size = cfg["trainer"]["accelerator"], cfg["trainer"].get("devices", 1)
    if size == 1:
        return
    number = torch.cuda.device_count()
    if number < size and (accelerator == "gpu" or (accelerator == "auto" and number > 0)):
        problem = f"this machine has {number} GPU{'' if number == 1 else 's'} to use"
        raise ConfigError("trainer.devices", size, problem, remedy="fewer devices, or trainer.accelerator=cpu")


def join(world: World, folder: str, patience: timedelta) -> None:
    """Meets the other processes by a file in a folder that is this fit's own; no signal is heard meanwhile."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    where = f"file://{folder}/meet"
    dist.init_process_group(backend, init_method=where, rank=world.rank, world_size=world.size, timeout=patience)


def _help(
    pipe: Connection,
    cfg: dict[str, Any],
    overrides: tuple[str, ...],
    world: World,
    folder: str,
    threads: int,
    help_fit: Callable[[Job, World], None],
) -> None:
    threading.Thread(target=_end_with, args=(pipe,), name="process 0", daemon=True).start()
    try:
        torch.set_num_threads(threads)
        job = prepare(cfg, overrides)
        pipe.send(None)
        join(world, folder, _PATIENCE)
        help_fit(job, world)
    except BaseException:
        with contextlib.suppress(OSError):
            pipe.send(f"process {world.rank} of {world.size}:\n{traceback.format_exc()}")
        os._exit(1)


def _end_with(pipe: Connection) -> None:
    """Ends this process, which writes nothing, when its parent has gone or wants it to."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os._exit(1)
