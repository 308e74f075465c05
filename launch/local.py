"""`hydra/launcher=local`: hands runs to long-lived processes of this machine, shows them, gathers how they ended."""

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

from launch.local_worker import (
    GRACE_S,
    Begun,
    Ended,
    LocalSettings,
    Place,
    Said,
    Task,
    divide,
    in_groups,
    own_cores,
    own_gpus,
    work,
)
from launch.stores import Mirroring
from ordinalclip.config.compose import plain
from ordinalclip.config.signatures import check_target
from ordinalclip.preparation.prepare import tell_notes
from ordinalclip.runs.run import Run

log = logging.getLogger("ordinalclip")

_WARNED: set[str] = set()


class WorkerDied(RuntimeError):
    """The process of a run ended without a word: killed by hand, or by the system for want of memory."""


class Worker:
    """One process at one place, and the run that it does at this moment.

    Args:
        place: where it computes.

    Attributes:
        task: what it does; None = nothing.
        run: of the task, once it has begun.
        started: when the task was given to it, by the monotonic clock.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.task: Task | None = None
        self.run: Run | None = None
        self.started = 0.0
        self.process, self.pipe = _start(place)

    def give(self, task: Task) -> None:
        """Has it do a task; a process that is gone is replaced."""
        if not self.process.is_alive():
            self.pipe.close()
            self.process, self.pipe = _start(self.place)
        self.task, self.run, self.started = task, None, time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # it has just died, which `hear` will find
            self.pipe.send(task)

    def hear(self) -> Begun | Said | Ended:
        """The next thing that it says; that its run failed, where it has died."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            hint = "; was there too little memory?" if code == -signal.SIGKILL else ""
            return Ended(WorkerDied(f"its process {how}{hint}"))


def launch(cfgs: Sequence[DictConfig], overrides: Sequence[Sequence[str]], settings: dict[str, Any]) -> list[JobReturn]:
    """Does all jobs, several at a time; one that fails does not stop the others.

    Args:
        cfgs: of each job.
        overrides: of each job.
        settings: keys of `hydra/launcher=local`.

    Returns:
        How each job ended, in their order.

    Raises:
        ConfigError: for settings that cannot be used.
        KeyboardInterrupt: on Ctrl-C, when all processes have written down that they were interrupted, or are dead.
    """
    check_target({"_target_": "launch.local_worker.LocalSettings"} | settings, "hydra.launcher")
    jobs = zip(cfgs, overrides, strict=True)
    tasks = [Task(number, plain(cfg), tuple(words)) for number, (cfg, words) in enumerate(jobs)]
    devices = [task.cfg["trainer"].get("devices", 1) for task in tasks if task.cfg["trainer"]["accelerator"] != "cpu"]
    gpus = in_groups(own_gpus(), max(devices)) if devices else []
    places = divide(LocalSettings(**settings), own_cores(), gpus)
    if settings["jobs_per_gpu"] != 1 and places[0].gpu is None:
        log.warning("hydra.launcher.jobs_per_gpu=%s: these runs have no GPU to share", settings["jobs_per_gpu"])
    log.info("%s", described(places, len(tasks)))
    results = [JobReturn(overrides=task.overrides, cfg=cfg) for task, cfg in zip(tasks, cfgs, strict=True)]
    with Mirroring() as mirroring, _workers(places[: len(tasks)], mirroring) as workers:
        for task, error in _work_off(workers, tasks, mirroring):
            results[task.number].status = JobStatus.COMPLETED if error is None else JobStatus.FAILED
            results[task.number].return_value = error
    return results


def described(places: Sequence[Place], number: int) -> str:
    """How many runs there are at a time, and with what each of them computes."""
    first, at_once = places[0], min(len(places), number)
    one = f"{first.threads} thread{'s' if first.threads != 1 else ''}"
    gpus = len({gpu for place in places[:at_once] if place.gpu is not None for gpu in place.gpu.split(",")})
    where = f", on {gpus} GPU{'s' if gpus != 1 else ''}" if gpus else ""
    return f"{at_once} at a time{where}, {one} each"


def _work_off(
    workers: Sequence[Worker], tasks: Sequence[Task], mirroring: Mirroring
) -> Iterator[tuple[Task, Exception | None]]:
    """Hands out all tasks; gives each of them, and what went wrong with it, as it ends."""
    waiting, common, number = deque(tasks), set.intersection(*(set(task.overrides) for task in tasks)), 0
    for worker in workers:
        worker.give(waiting.popleft())
    while busy := {worker.pipe: worker for worker in workers if worker.task is not None}:
        for pipe in wait(list(busy)):
            assert isinstance(pipe, Connection)
            worker, task = busy[pipe], busy[pipe].task
            assert task is not None
            said = worker.hear()
            if isinstance(said, Begun):
                worker.run = Run(said.directory)
                mirroring.begin(worker.run, task.cfg)
            elif isinstance(said, Said):
                _pass_on(said)
            else:
                number += 1
                title = " ".join(word for word in task.overrides if word not in common)
                _tell_end(f"run {number} of {len(tasks)}", title, time.monotonic() - worker.started, said.error)
                if worker.run is not None:
                    mirroring.end(worker.run)
                worker.task = None
                if waiting:
                    worker.give(waiting.popleft())
                yield task, said.error


def _pass_on(said: Said) -> None:
    """What a run said is shown once, though every process may say it; what is a note is no news at the second run."""
    if said.level < logging.WARNING:
        tell_notes([said.text])
    elif said.text not in _WARNED:
        _WARNED.add(said.text)
        log.warning("%s", said.text)


def _tell_end(number: str, title: str, seconds: float, error: Exception | None) -> None:
    name = f"{number}: {title}" if title else number
    if error is None:
        log.info("%s, %.1f s", name, seconds)
    else:
        log.info("%s: %s: %s", name, type(error).__name__, str(error).partition("\n")[0])


@contextlib.contextmanager
def _workers(places: Sequence[Place], mirroring: Mirroring) -> Iterator[list[Worker]]:
    """A process at each place; whatever ends the sweep ends them."""
    workers: list[Worker] = []
    try:
        workers.extend(map(Worker, places))
        yield workers
        for worker in workers:
            with contextlib.suppress(OSError):
                worker.pipe.send(None)
    finally:
        for worker in workers:
            worker.pipe.close()
        try:
            patience = time.monotonic() + GRACE_S
            for worker in workers:
                worker.process.join(max(patience - time.monotonic(), 0))
        finally:  # Ctrl-C once more
            for worker in workers:
                worker.process.kill()
                worker.process.join()
        for run in [worker.run for worker in workers if worker.task is not None and worker.run is not None]:
            mirroring.end(run)


def _start(place: Place) -> tuple[SpawnProcess, Connection]:
    """A process that has not inherited what this one has imported; Ctrl-C waits until it can take it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, place), name="ordinalclip run")
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    theirs.close()  # else its end would not be noticed
    return process, ours
