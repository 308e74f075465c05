"""Progress bars: one line that moves on a terminal, a plain line every half minute in a file."""

import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

from tqdm import tqdm

FILE_EVERY_S = 30.0

# Bars are drawn by threads of one process. Its own lock is for several: a killed one leaves it behind, with a warning.
tqdm.set_lock(threading.RLock())


class _Lines(tqdm):
    """Whole lines, without control characters and drawn bars."""

    @staticmethod
    def status_printer(file: TextIO) -> Callable[[str], None]:
        """Replaces the printer that goes back to the start of the line."""

        def print_line(text: str) -> None:
            if text.strip():
                file.write(f"{text.strip()}\n")
                file.flush()

        return print_line

    def close(self) -> None:
        """Ends it without another line."""
        self.leave = False
        self.disable = True
        self._decr_instances(self)  # else tqdm would place the next bar below this one


def progress(description: str, total: int | None, unit: str, *, delay: float = 2.0, **settings: Any) -> tqdm:
    """A bar over `total` steps that says nothing where all is done within `delay` seconds.

    Args:
        description: what is done.
        total: number of steps; None: nobody knows.
        unit: of a step, such as " images".
        delay: seconds; at least half a minute where the output is no terminal.
        settings: further ones of tqdm, such as `initial`.
    """
    if sys.stderr.isatty():
        return tqdm(desc=description, total=total, unit=unit, delay=delay, dynamic_ncols=True, **settings)
    shown = "{desc}: {n_fmt} of {total_fmt}{unit}, {rate_fmt}, {elapsed} so far, {remaining} to go{postfix}"
    if total is None:
        shown = "{desc}: {n_fmt}{unit}, {rate_fmt}, {elapsed} so far{postfix}"
    pause = {"delay": max(delay, FILE_EVERY_S), "mininterval": FILE_EVERY_S}
    return _Lines(desc=description, total=total, unit=unit, **(settings | pause | {"bar_format": shown}))
