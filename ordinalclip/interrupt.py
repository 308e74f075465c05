"""Ctrl-C that is not lost between the runs of a sweep."""

import signal
import sys
from types import FrameType


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
