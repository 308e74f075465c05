"""`hydra/launcher=local`: trains several runs at a time in long-lived worker processes on this machine.

The launcher also mirrors the runs into their store, so that a store has one writer.
"""

import contextlib
import logging
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from launch.devices import (
    LocalSettings,
    Slot,
    available_cores,
    available_gpus,
    describe_slots,
    divide_into_slots,
    group_gpus,
)
from launch.local_worker import GRACE_S, LogMessage, RunEnded, RunStarted, Task, work
from launch.stores import Mirroring
from ordinalclip.config.compose import plain_config
from ordinalclip.config.signatures import check_target
from ordinalclip.preparation.prepare import log_notes
from ordinalclip.runs.run import Run

log = logging.getLogger("ordinalclip")

_LOGGED_WARNINGS: set[str] = set()


class WorkerDied(RuntimeError):
    """A worker process ended without reporting the end of its run, for instance because the system killed it."""


class Worker:
    """A worker process and its current run.

    Args:
        slot: cores, threads and GPU of the process.

    Attributes:
        task: the current task; None if idle.
        run: of the task, once it has started.
        started: when the task was assigned, by the monotonic clock.
    """

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.task: Task | None = None
        self.run: Run | None = None
        self.started = 0.0
        self.process, self.pipe = _start(slot)

    def assign(self, task: Task) -> None:
        """Sends a task to the process; a dead process is replaced first."""
        if not self.process.is_alive():
            self.pipe.close()
            self.process, self.pipe = _start(self.slot)
        self.task, self.run, self.started = task, None, time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # the process has just died: `receive` reports it
            self.pipe.send(task)

    def receive(self) -> RunStarted | LogMessage | RunEnded:
        """Returns the next message of the process; `RunEnded` with `WorkerDied` if the process is dead."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            hint = "; was there too little memory?" if code == -signal.SIGKILL else ""
            return RunEnded(WorkerDied(f"its process {how}{hint}"))


def launch(cfgs: Sequence[DictConfig], overrides: Sequence[Sequence[str]], settings: dict[str, Any]) -> list[JobReturn]:
    """Trains all jobs, several at a time; a failed job does not stop the others.

    Args:
        cfgs: of each job.
        overrides: of each job.
        settings: keys of `hydra/launcher=local`.

    Returns:
        The result of each job, in the order given.

    Raises:
        ConfigError: for invalid settings.
        KeyboardInterrupt: on Ctrl-C, after all workers have recorded the interruption, or are dead.
    """
    check_target({"_target_": "launch.devices.LocalSettings"} | settings, "hydra.launcher")
    jobs = zip(cfgs, overrides, strict=True)
    tasks = [Task(number, plain_config(cfg), tuple(words)) for number, (cfg, words) in enumerate(jobs)]
    devices = [task.cfg["trainer"].get("devices", 1) for task in tasks if task.cfg["trainer"]["accelerator"] != "cpu"]
    gpus = group_gpus(available_gpus(), max(devices)) if devices else []
    slots = divide_into_slots(LocalSettings(**settings), available_cores(), gpus)
    if settings["jobs_per_gpu"] != 1 and slots[0].gpu is None:
        log.warning("hydra.launcher.jobs_per_gpu=%s: these runs have no GPU to share", settings["jobs_per_gpu"])
    log.info("%s", describe_slots(slots, len(tasks)))
    results = [JobReturn(overrides=task.overrides, cfg=cfg) for task, cfg in zip(tasks, cfgs, strict=True)]
    with Mirroring() as mirroring, _workers(slots[: len(tasks)], mirroring) as workers:
        for task, error in _distribute(workers, tasks, mirroring):
            results[task.number].status = JobStatus.COMPLETED if error is None else JobStatus.FAILED
            results[task.number].return_value = error
    return results


def _distribute(
    workers: Sequence[Worker], tasks: Sequence[Task], mirroring: Mirroring
) -> Iterator[tuple[Task, Exception | None]]:
    """Assigns all tasks to workers; yields each task as it ends, with its error or None."""
    waiting, common, number = deque(tasks), set.intersection(*(set(task.overrides) for task in tasks)), 0
    for worker in workers:
        worker.assign(waiting.popleft())
    while busy := {worker.pipe: worker for worker in workers if worker.task is not None}:
        for pipe in wait(list(busy)):
            assert isinstance(pipe, Connection)
            worker, task = busy[pipe], busy[pipe].task
            assert task is not None
            message = worker.receive()
            if isinstance(message, RunStarted):
                worker.run = Run(message.directory)
                mirroring.begin(worker.run, task.cfg)
            elif isinstance(message, LogMessage):
                _log_once(message)
            else:
                number += 1
                title = " ".join(word for word in task.overrides if word not in common)
                _log_end(f"run {number} of {len(tasks)}", title, time.monotonic() - worker.started, message.error)
                if worker.run is not None:
                    mirroring.end(worker.run)
                worker.task = None
                if waiting:
                    worker.assign(waiting.popleft())
                yield task, message.error


def _log_once(message: LogMessage) -> None:
    """Logs a worker's message, unless another worker has sent the same."""
    if message.level < logging.WARNING:
        log_notes([message.text])
    elif message.text not in _LOGGED_WARNINGS:
        _LOGGED_WARNINGS.add(message.text)
        log.warning("%s", message.text)


def _log_end(number: str, title: str, seconds: float, error: Exception | None) -> None:
    name = f"{number}: {title}" if title else number
    if error is None:
        log.info("%s, %.1f s", name, seconds)
    else:
        log.info("%s: %s: %s", name, type(error).__name__, str(error).partition("\n")[0])


@contextlib.contextmanager
def _workers(slots: Sequence[Slot], mirroring: Mirroring) -> Iterator[list[Worker]]:
    """Starts a worker in each slot; ends all of them on exit, also on an error."""
    workers: list[Worker] = []
    try:
        workers.extend(map(Worker, slots))
        yield workers
        for worker in workers:
            with contextlib.suppress(OSError):
                worker.pipe.send(None)
    finally:
        for worker in workers:
            worker.pipe.close()
        try:
            deadline = time.monotonic() + GRACE_S
            for worker in workers:
                worker.process.join(max(deadline - time.monotonic(), 0))
        finally:  # also on a second Ctrl-C
            for worker in workers:
                worker.process.kill()
                worker.process.join()
        for run in [worker.run for worker in workers if worker.task is not None and worker.run is not None]:
            mirroring.end(run)


def _start(slot: Slot) -> tuple[SpawnProcess, Connection]:
    """Spawns a worker, with SIGINT blocked until it can handle it; returns it with our end of the pipe."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, slot), name="ordinalclip run")
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    theirs.close()  # otherwise the worker's death would not close the pipe
    return process, ours
