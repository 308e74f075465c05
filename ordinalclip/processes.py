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
from collections.abc import Iterator, Mapping
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist

from ordinalclip.errors import ConfigError
from ordinalclip.prepare import Job, prepare
from ordinalclip.stop import SIGNALS, check_stop
from ordinalclip.team import ALONE, Team

_PATIENCE = timedelta(hours=2)  # for one step of the slowest process, or an epoch's record


class HelperFailed(RuntimeError):
    """Another process of the run failed; its traceback is in the message."""


@contextlib.contextmanager
def gathered(job: Job) -> Iterator[Team]:
    """The team of a fit, with this process as its first; all data must be in the caches by now.

    Raises:
        HelperFailed: in place of what came of it here.
    """
    size = job.cfg["trainer"].get("devices", 1)
    if size == 1:
        yield ALONE
        return
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        pipes, processes = [], []
        try:
            for rank in range(1, size):
                ours, theirs = context.Pipe()
                arguments = (theirs, job.cfg, job.overrides, Team(rank, size), folder, torch.get_num_threads())
                processes.append(context.Process(target=_help, args=arguments, name=f"process {rank} of a run"))
                processes[-1].start()
                theirs.close()
                pipes.append(ours)
            team = Team(0, size)
            try:
                join(team, folder)
                yield team
            except RuntimeError as error:
                check_stop()  # a signal that reached them before it was noticed here
                told = [pipe.recv() for pipe in pipes if pipe.poll(1.0)]
                if told:
                    raise HelperFailed("\n".join(told)) from error
                raise
        finally:
            for pipe in pipes:
                pipe.close()  # which ends them
            for process in processes:
                process.join(10)
                process.kill()
                process.join()
            if dist.is_initialized():
                dist.destroy_process_group()


def check_devices(cfg: Mapping[str, Any]) -> None:
    """Raises ConfigError where there are GPUs to be used, but too few."""
    accelerator, size = cfg["trainer"]["accelerator"], cfg["trainer"].get("devices", 1)
    if size == 1:
        return
    number = torch.cuda.device_count()
    if number < size and (accelerator == "gpu" or (accelerator == "auto" and number > 0)):
        problem = f"this machine has {number} GPU{'' if number == 1 else 's'} to use"
        raise ConfigError("trainer.devices", size, problem, remedy="fewer devices, or trainer.accelerator=cpu")


def join(team: Team, folder: str) -> None:
    """Meets the other processes by a file in a folder that is this fit's own."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    where = f"file://{folder}/meet"
    dist.init_process_group(backend, init_method=where, rank=team.rank, world_size=team.size, timeout=_PATIENCE)


def _help(
    pipe: Connection, cfg: dict[str, Any], overrides: tuple[str, ...], team: Team, folder: str, threads: int
) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, *SIGNALS])  # they are for process 0, who closes the pipe
    threading.Thread(target=_end_with, args=(pipe,), name="process 0", daemon=True).start()
    from ordinalclip.fit import help_fit

    torch.set_num_threads(threads)
    try:
        job = prepare(cfg, overrides)
        join(team, folder)
        help_fit(job, team)
    except BaseException:
        with contextlib.suppress(OSError):
            pipe.send(f"process {team.rank} of {team.size}:\n{traceback.format_exc()}")
        os._exit(1)


def _end_with(pipe: Connection) -> None:
    """Ends this process, which writes nothing, when its parent has gone or wants it to."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os._exit(1)
