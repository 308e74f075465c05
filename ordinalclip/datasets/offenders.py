"""Telling what is wrong in data: one error with the number of offenders, the first of them, and what to do."""

from collections.abc import Sequence
from pathlib import Path

from ordinalclip.errors import DataError

NUM_LISTED = 20


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
