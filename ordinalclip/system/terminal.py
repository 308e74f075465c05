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

# tqdm's default lock is shared by processes, and a killed process leaks it with a warning. Threads are enough here.
tqdm.set_lock(threading.RLock())


class _Lines(tqdm):
    """Progress as whole lines, without control characters or drawn bars."""

    @staticmethod
    def status_printer(file: TextIO) -> Callable[[str], None]:
        """Replaces the printer that goes back to the start of the line."""

        def print_line(text: str) -> None:
            if text.strip():
                file.write(f"{text.strip()}\n")
                file.flush()

        return print_line

    def close(self) -> None:
        """Closes the bar without printing another line."""
        self.leave = False
        self.disable = True
        self._decr_instances(self)  # otherwise tqdm would place the next bar below this one


def progress(description: str, total: int | None, unit: str, *, delay: float = 2.0, **settings: Any) -> tqdm:
    """Returns a progress bar that stays hidden for the first `delay` seconds.

    Args:
        description: label.
        total: number of steps; None if unknown.
        unit: unit of a step, such as " images".
        delay: in seconds; at least `FILE_EVERY_S` if stderr is not a terminal.
        settings: further arguments of tqdm, such as `initial`.
    """
    if sys.stderr.isatty():
        return tqdm(desc=description, total=total, unit=unit, delay=delay, dynamic_ncols=True, **settings)
    shown = "{desc}: {n_fmt} of {total_fmt}{unit}, {rate_fmt}, {elapsed} so far, {remaining} to go{postfix}"
    if total is None:
        shown = "{desc}: {n_fmt}{unit}, {rate_fmt}, {elapsed} so far{postfix}"
    pause = {"delay": max(delay, FILE_EVERY_S), "mininterval": FILE_EVERY_S}
    return _Lines(desc=description, total=total, unit=unit, **(settings | pause | {"bar_format": shown}))


def format_columns(heading: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Formats a table as lines of aligned columns, two blanks apart. Empty columns are left out.

    Args:
        heading: of each column; a column is right-aligned if its heading starts with ">".
        rows: the cells of each row.
        width: lines are cut to this width; None does not cut.
    """
    kept = [index for index in range(len(heading)) if any(row[index] for row in rows)] or [0]
    right = [heading[index].startswith(">") for index in kept]
    table = [[heading[index].lstrip(">") for index in kept], *([row[index] for index in kept] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(kept))]
    lines = []
    for row in table:
        cells = zip(row, widths, right, strict=True)
        line = "  ".join(cell.rjust(wide) if right else cell.ljust(wide) for cell, wide, right in cells).rstrip()
        lines.append(line if width is None or len(line) <= width else f"{line[: width - 1]}…")
    return "\n".join(lines)
