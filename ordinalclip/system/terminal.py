"""Output on the terminal: progress bars, and tables in columns.

Progress is one line that moves on a terminal, and a plain line every half minute in a file. `format_columns` is quick
with thousands of rows; the last column takes the remaining width.
"""

import sys
import threading
from collections.abc import Callable, Sequence
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
    """A bar over `total` steps that is not shown if all is done within `delay` seconds.

    Args:
        description: what is done.
        total: number of steps; None if unknown.
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


def format_columns(heading: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Lines of columns two blanks apart.

    Args:
        heading: of each column; a column is right-aligned if its heading starts with ">".
        rows: cells; columns that are empty throughout are left out.
        width: of the terminal, where lines end; None is as wide as it takes.
    """
    kept = [place for place in range(len(heading)) if any(row[place] for row in rows)] or [0]
    to_right = [heading[place].startswith(">") for place in kept]
    table = [[heading[place].lstrip(">") for place in kept], *([row[place] for place in kept] for row in rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(kept))]
    lines = []
    for row in table:
        cells = zip(row, widths, to_right, strict=True)
        line = "  ".join(cell.rjust(wide) if right else cell.ljust(wide) for cell, wide, right in cells).rstrip()
        lines.append(line if width is None or len(line) <= width else f"{line[: width - 1]}…")
    return "\n".join(lines)
