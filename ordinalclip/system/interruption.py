"""Signals that ask a run to stop, and Ctrl-C between the runs of a sweep.

A signal sets a flag, and the run stops at the next call of `check_stop`. SLURM sends SIGTERM before it kills a job, and
the signal that the job requested (submitit: SIGUSR2, Lightning: SIGUSR1) before a time limit or a preemption. Nothing
needs to be saved, since a run resumes from its last epoch; raising in the handler could interrupt a write.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)

_Handler = Callable[[int, FrameType | None], Any] | int | None

_asked: list[signal.Signals] = []


class Stopped(SystemExit):
    """A signal asked the run to stop. The same command resumes it from its last epoch.

    Args:
        by: the signal.
    """

    def __init__(self, by: signal.Signals) -> None:
        super().__init__(128 + by)
        self.by = by

    def __str__(self) -> str:
        return f"asked to stop by {self.by.name}"


def check_stop() -> None:
    """Raises Stopped if a signal has arrived. Called between batches."""
    if _asked:
        raise Stopped(_asked[0])


@contextlib.contextmanager
def signals_stop() -> Iterator[None]:
    """Context in which the signals set the flag; the previous handlers are restored at its end.

    Only Python's main thread receives signals, so in other threads nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked.clear()
    before = {number: signal.signal(number, _ask) for number in SIGNALS}
    try:
        yield
    except BaseException:
        _restore(before)
        _asked.clear()
        raise
    _restore(before)
    if _asked:  # too late for this run: the previous handler receives the signal
        signal.raise_signal(_asked.pop(0))


def _restore(handlers: dict[signal.Signals, _Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _ask(number: int, frame: FrameType | None) -> None:
    _asked.append(signal.Signals(number))


class Interrupt:
    """Raises KeyboardInterrupt on Ctrl-C as Python does, and remembers it for the next run of a sweep.

    Python drops an exception that a signal handler raises while an object is finalized. That is likely at the end of a
    run, when a model is freed, so each run calls `check` at its start.
    """

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Installs the handler of SIGINT, unless the process ignores SIGINT, as jobs in the background do."""
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._raise)
            sys.unraisablehook = self._drop

    def check(self) -> None:
        """Raises KeyboardInterrupt if Ctrl-C was pressed before."""
        if self.asked:
            raise KeyboardInterrupt

    def _drop(self, dropped: "sys.UnraisableHookArgs") -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):  # which `check` raises again
            sys.__unraisablehook__(dropped)

    def _raise(self, signum: int, frame: FrameType | None) -> None:
        self.asked = True
        raise KeyboardInterrupt
