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
    """The first offenders, a line each, and how many more there are.

    Args:
        lines: the offenders, or the first `NUM_LISTED` of them.
        number: how many there are in all; None = as many as `lines`.
    """
    number = len(lines) if number is None else number
    shown = [f"  {line}" for line in lines[:NUM_LISTED]]
    if number > len(shown):
        shown.append(f"  … and {number - len(shown):,} more")
    return "\n".join(shown)


def refuse(where: Path | str, offenders: Sequence[object], problem: str, *, remedy: str) -> None:
    """Nothing where there is no offender, else one error about all of them.

    Args:
        where: the file or folder, or the data set's name.
        offenders: such as `line 7: a.jpg x`.
        problem: what they are or do, behind their number: "lines have no label".
        remedy: what to do.

    Raises:
        DataError: for any offender.
    """
    if len(offenders):
        raise DataError(f"{where}: {len(offenders):,} {problem}:\n{listed(offenders)}\n  what to do: {remedy}")


def usable(
    table: pd.DataFrame,
    wrong: pd.Series | np.ndarray | Sequence[bool],
    told: pd.Series | Sequence[str],
    notes: list[str],
    *,
    where: Path | str,
    problem: str,
    remedy: str,
    on_error: str,
    setting: str = ON_ERROR,
) -> pd.DataFrame:
    """The rows that are not wrong.

    Args:
        table: the rows.
        wrong: [N] which of them cannot be used.
        told: [N] what to print about each, such as its path and label.
        notes: where a note is added if rows are left out.
        where: the file or folder that the rows are from.
        problem: what is wrong with them, behind their number: "images have no age in their names".
        remedy: what to do.
        on_error: "raise", or "skip" to leave them out.
        setting: by which the user leaves them out; stands in the note and in the error.

    Raises:
        DataError: where there are any, with on_error "raise"; where there are no others, in any case.
    """
    mask = np.asarray(wrong, dtype=bool)
    if not mask.any():
        return table
    offenders = list(pd.Series(list(told), dtype="object")[mask])
    if on_error == "raise" or mask.all():
        without = "" if mask.all() else f", or go on without them: {setting}"
        refuse(where, offenders, problem, remedy=remedy + without)
    notes.append(f"left out {len(offenders):,} of {len(mask):,}: {problem} ({setting}):\n{listed(offenders)}")
    return table[~mask].reset_index(drop=True)
