"""Rows of a data set that cannot be used: one error that lists them, or skipped and noted.

Every message has the number of rows, the first of them, and what to do. No row is dropped without a note.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ordinalclip.errors import DataError

NUM_LISTED = 20

ON_ERROR = "dataset.on_error=skip"


def listed(lines: Sequence[object], number: int | None = None) -> str:
    """The first lines, indented, and how many more there are.

    Args:
        lines: all of them, or the first `NUM_LISTED`.
        number: how many there are; None for as many as `lines`.
    """
    number = len(lines) if number is None else number
    shown = [f"  {line}" for line in lines[:NUM_LISTED]]
    if number > len(shown):
        shown.append(f"  … and {number - len(shown):,} more")
    return "\n".join(shown)


def refuse(where: Path | str, offenders: Sequence[object], problem: str, *, remedy: str) -> None:
    """Raise one error about all offenders, if there are any.

    Args:
        where: file, folder or name of the data set.
        offenders: such as `line 7: a.jpg x`.
        problem: follows their number in the message: "lines have no label".
        remedy: what to do.

    Raises:
        DataError: there is an offender.
    """
    if len(offenders):
        raise DataError(f"{where}: {len(offenders):,} {problem}:\n{listed(offenders)}\n  what to do: {remedy}")


def usable(
    table: pd.DataFrame,
    wrong: pd.Series | np.ndarray | Sequence[bool],
    lines: pd.Series | Sequence[str],
    notes: list[str],
    *,
    where: Path | str,
    problem: str,
    remedy: str,
    on_error: str,
    setting: str = ON_ERROR,
) -> pd.DataFrame:
    """Return the rows that are not wrong.

    Args:
        table: N rows.
        wrong: [N], which of them cannot be used.
        lines: [N], a line for each in the error and the note, such as its path and label.
        notes: a note is appended if rows are left out.
        where: file or folder that the rows were read from.
        problem: follows their number in the message: "images have no age in their names".
        remedy: what to do.
        on_error: "raise", or "skip" to leave them out.
        setting: the option that leaves them out, for the note and the error.

    Raises:
        DataError: rows are wrong and `on_error` is "raise", or all rows are wrong.
    """
    mask = np.asarray(wrong, dtype=bool)
    if not mask.any():
        return table
    offenders = list(pd.Series(list(lines), dtype="object")[mask])
    if on_error == "raise" or mask.all():
        without = "" if mask.all() else f", or go on without them: {setting}"
        refuse(where, offenders, problem, remedy=remedy + without)
    notes.append(f"left out {len(offenders):,} of {len(mask):,}: {problem} ({setting}):\n{listed(offenders)}")
    return table[~mask].reset_index(drop=True)
