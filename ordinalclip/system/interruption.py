"""Signals that ask a run to stop, and Ctrl-C between the runs of a sweep.

Signals set a flag, and the run stops at the next safe point. SLURM sends SIGTERM before it kills, and before a time
limit or a preemption a signal that the job asked for (submitit takes SIGUSR2, Lightning SIGUSR1). A handler that raised
at once could do so anywhere; nothing has to be saved, since a run resumes from its last epoch.
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
    """A signal asked the run to stop; the same command goes on from its last epoch.

    Args:
        by: the signal.
    """

    def __init__(self, by: signal.Signals) -> None:
        super().__init__(128 + by)
        self.by = by

    def __str__(self) -> str:
        return f"asked to stop by {self.by.name}"


def check_stop() -> None:
    """Raises Stopped where a signal has asked for it; called between batches."""
    if _asked:
        raise Stopped(_asked[0])


@contextlib.contextmanager
def signals_stop() -> Iterator[None]:
    """Within it these signals set the flag; outside, they do what they did before, and the flag is not set.

    Only Python's main thread hears signals; in another one nothing changes.
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
    if _asked:  # too late for this run, but whoever asked may have meant what comes after it
        signal.raise_signal(_asked.pop(0))


def _restore(handlers: dict[signal.Signals, _Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _ask(number: int, frame: FrameType | None) -> None:
    _asked.append(signal.Signals(number))


class Interrupt:
    """Raises KeyboardInterrupt as Python does, and remembers it.

    Python drops an exception that a signal raises while an object is being finalised, which at the end of a run, with
    a model to be freed, is likely enough; so the start of the next run asks again.
    """

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Takes SIGINT over, unless it is to be ignored (as for a job in the background)."""
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._raise)
            sys.unraisablehook = self._drop

    def check(self) -> None:
        """Raises KeyboardInterrupt where Ctrl-C was pressed before."""
        if self.asked:
            raise KeyboardInterrupt

    def _drop(self, dropped: "sys.UnraisableHookArgs") -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):  # that one is known of
            sys.__unraisablehook__(dropped)

    def _raise(self, signum: int, frame: FrameType | None) -> None:
        self.asked = True
        raise KeyboardInterrupt
