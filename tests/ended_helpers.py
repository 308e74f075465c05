"""Worker processes of a fit that fail, in place of `ordinalclip.training.processes._worker_main`."""

import os
import signal
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from ordinalclip.system.distributed import World
from ordinalclip.training.processes import join

AT_BIRTH = signal.pthread_sigmask(signal.SIG_BLOCK, [])  # what this process does not hear


def die(*_: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def tell_what_is_blocked(pipe: Connection, *_: Any) -> None:
    pipe.send(" ".join(sorted(number.name for number in AT_BIRTH)))  # type: ignore[union-attr]


def never_come(pipe: Connection, *_: Any) -> None:
    pipe.recv()


def meet_and_die(pipe: Connection, _cfg: Any, _overrides: Any, world: World, folder: str, *_: Any) -> NoReturn:
    pipe.send(None)
    join(world, folder, timedelta(minutes=1))
    die()
