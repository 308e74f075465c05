"""From a table's numbers to ranks 0…R-1 with names and values."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ordinalclip.errors import ConfigError, DataError

MAX_RANKS = 1000
_CORRECT = "  what to do: correct them, or take their rows out"


@dataclass(frozen=True, eq=False)
class Grading:
    """Ranks of a table's rows, and what the ranks are called.

    Args:
        rank: [N] from 0.
        value: [N] label in the data set's own unit.
        names: [R] of the ranks.
        values: [R] of the ranks, in that unit.
        notes: what was done to get there.
    """

    rank: np.ndarray
    value: np.ndarray
    names: list[str]
    values: list[float]
    notes: tuple[str, ...] = ()

    def renamed(self, names: list[str], values: list[float]) -> "Grading":
        """The same ranks under other names and values, of which there may be more."""
        return replace(self, names=names, values=values)


def grade_ranks(table: pd.DataFrame, file: Path, *, first_rank: int | None = None) -> Grading:
    """Take the column `rank`: integers, of which the smallest (or `first_rank`) becomes 0.

    Args:
        table: with `rank` as text and perhaps `value`.
        file: named in errors.
        first_rank: the integer that becomes 0.

    Returns:
        Names and values are the integers themselves; with a column `value`, the mean value of each rank.

    Raises:
        DataError: where a cell is no integer.
    """
    numbers = _numbers(table["rank"], "rank", file)
    _check_whole(numbers, "rank", file, "grades such as 0, 1, 2; numbers with decimals go into a column called value")
    grading = _span(numbers, "rank", file, first_rank)
    if "value" not in table:
        return grading
    value = _numbers(table["value"], "value", file)
    means = pd.Series(value).groupby(grading.rank).mean()
    values = [float(means.get(rank, number)) for rank, number in enumerate(grading.values)]
    return replace(grading, value=value, values=values)


def grade_values(table: pd.DataFrame, file: Path, *, first_rank: int | None = None) -> Grading:
    """Take the column `value` where it holds integers: every integer from min to max is a rank.

    Args:
        table: with `value` as text.
        file: named in errors.
        first_rank: the integer that becomes rank 0, where not the smallest.

    Returns:
        Names and values are the integers.

    Raises:
        ConfigError: for values with decimals, which need bins.
        DataError: where a cell is no number.
    """
    numbers = _numbers(table["value"], "value", file)
    if (numbers != np.round(numbers)).any():
        example = numbers[numbers != np.round(numbers)][0]
        raise ConfigError(
            "dataset.bins",
            None,
            f"the values of {file.name} are not all integers ({example:g}), so what is a rank has to be said",
            allowed="edges, such as [0,2.5,5,10], or a number of quantiles, such as 5",
        )
    return replace(_span(numbers, "value", file, first_rank), notes=())


def bin_values(table: pd.DataFrame, file: Path, bins: Sequence[float] | int) -> Grading:
    """Cut the column `value` at edges, or into quantiles.

    Args:
        table: with `value` as text.
        file: named in errors.
        bins: increasing edges, one more than ranks, or the number of quantiles.

    Returns:
        A rank is called by its edges and has the value of its middle.

    Raises:
        ConfigError: for edges that do not increase, too many quantiles, or values outside of the edges.
    """
    numbers = _numbers(table["value"], "value", file)
    if isinstance(bins, int):
        if bins < 2:
            raise ConfigError("dataset.bins", bins, "fewer than two ranks", allowed="2 or more quantiles, or edges")
        edges = np.quantile(numbers, np.linspace(0, 1, bins + 1))
        if (np.diff(edges) <= 0).any():
            raise ConfigError(
                "dataset.bins", bins, "many values are equal, so that quantiles coincide", allowed="fewer, or edges"
            )
    else:
        edges = np.array([float(edge) for edge in bins])
        if len(edges) < 3 or (np.diff(edges) <= 0).any():
            raise ConfigError(
                "dataset.bins", list(bins), "not three or more edges that increase", allowed="[0,2.5,5,10]"
            )
    outside = (numbers < edges[0]) | (numbers > edges[-1])
    if outside.any():
        raise ConfigError(
            "dataset.bins",
            edges.tolist(),
            f"{outside.sum()} values of {file.name} lie outside, such as {numbers[outside][0]:g}",
            allowed=f"edges from {numbers.min():g} or less to {numbers.max():g} or more (-.inf and .inf will do)",
        )
    rank = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    finite = np.clip(edges, numbers.min(), numbers.max())
    closed = np.where(np.isfinite(edges), edges, finite)
    middles = (closed[:-1] + closed[1:]) / 2
    names = [_edge_name(low, high) for low, high in itertools.pairwise(edges)]
    note = f"values were cut into {len(names)} ranks at {', '.join(f'{edge:.6g}' for edge in edges)}"
    return Grading(rank, numbers, names, middles.tolist(), (note,))


def _span(numbers: np.ndarray, column: str, file: Path, first_rank: int | None) -> Grading:
    low, high = int(numbers.min()), int(numbers.max())
    if first_rank is not None:
        if first_rank > low:
            raise ConfigError(
                "dataset.first_rank",
                first_rank,
                f"{file.name} has a {column} below it",
                allowed=f"{low} or less, or null",
            )
        low = first_rank
    if high - low >= MAX_RANKS:
        raise DataError(
            f"{file}: column {column} spans {low}…{high}, which is {high - low + 1} ranks; at most {MAX_RANKS} are\n"
            "  what to do: look for a stray number, or put values together: a column value and dataset.bins"
        )
    integers = range(low, high + 1)
    notes = (f"ranks {low}…{high} of {file.name} were shifted to 0…{high - low}",) if low != 0 else ()
    names, values = [str(integer) for integer in integers], [float(integer) for integer in integers]
    return Grading((numbers - low).astype(np.int64), numbers, names, values, notes)


def _numbers(cells: pd.Series, column: str, file: Path) -> np.ndarray:
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        words = cells.astype(object).where(cells.notna(), "(empty)")
        told = ", ".join(f"{words.iloc[row]} (row {row + 1})" for row in wrong[:20])
        raise DataError(f"{file}: {len(wrong)} cells of column {column} are no numbers: {told}\n{_CORRECT}")
    return numbers


def _check_whole(numbers: np.ndarray, column: str, file: Path, allowed: str) -> None:
    wrong = np.flatnonzero(numbers != np.round(numbers))
    if len(wrong):
        told = ", ".join(f"{numbers[row]:g} (row {row + 1})" for row in wrong[:20])
        raise DataError(
            f"{file}: column {column} has {len(wrong)} cells that are no integers: {told}; it takes {allowed}"
        )


def _edge_name(low: float, high: float) -> str:
    if low == -np.inf:
        return f"below {high:g}"
    if high == np.inf:
        return f"{low:g} or more"
    return f"{low:g} to {high:g}"
