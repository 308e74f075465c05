"""From the numbers of a table to ranks 0…R-1 with names and values.

The column `rank` holds integers, whose smallest becomes rank 0 (`grade_ranks`). The column `value` holds integers, each
a rank (`grade_values`), or numbers that are cut into bins (`bin_values`). `name_ranks` then names the ranks by the
configuration, by columns of the table, or by their numbers.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ordinalclip.datasets.table_files import places
from ordinalclip.errors import ConfigError, DataError

MAX_RANKS = 1000
_NUM_EXAMPLES = 20
_THOUSANDS = 10_000  # from here on, names of bins have commas if a number would have an exponent without
_NOT_NUMBERS = {  # pattern of the cells, what to do
    "dates": (
        r"^\d{1,4}[-./]\d{1,2}[-./]\d{1,4}(?:[T ].*)?$",
        "these are dates: write each as one number, such as the year or the number of days since the first",
    ),
    "commas": (
        r"^[+-]?\d+(?:[.\s']\d{3})*,\d+$|^[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?$",
        "these have commas: write decimals with a point, 0.5 and not 0,5, and thousands without a separator",
    ),
    "missing": (r"(?i)^(?:nan|na|n/a|null|none|inf|-inf|\?|-)$", "remove these rows, or fill in their labels"),
    "words": (
        r"^[^\W\d_]",
        "these are words: write the ranks' integers, such as 0, 1, 2 from the lowest, into the column rank, and the "
        "words into a column rank_name; a .parquet file with an ordered categorical column is read as it is",
    ),
}


@dataclass(frozen=True, eq=False)
class Grading:
    """Ranks of a table's rows, and the names and values of the ranks.

    Args:
        rank: of each row, from 0 [N].
        value: label of each row in the data set's unit [N].
        names: of the ranks [R].
        values: of the ranks in that unit [R].
        notes: how the ranks were made.
        first: integer in the table that became rank 0.
    """

    rank: np.ndarray
    value: np.ndarray
    names: list[str]
    values: list[float]
    notes: tuple[str, ...] = ()
    first: int = 0


def grade_ranks(table: pd.DataFrame, file: Path, *, first_rank: int | None = None) -> Grading:
    """Returns the ranks in the column `rank`, integers of which the smallest (or `first_rank`) becomes 0.

    Names are the integers, values too; if the table has a column `value`, a rank's value is the mean of its rows.

    Args:
        table: with `rank`, and optionally `value`, as text.
        file: named in errors.
        first_rank: integer that becomes rank 0.

    Raises:
        ConfigError: a rank is below `first_rank`.
        DataError: a cell is not an integer, or there are more than `MAX_RANKS` ranks.
    """
    if grading := _grade_words(table, "rank", first_rank):
        return grading if "value" not in table else _with_values(grading, table, file)
    numbers = _numbers(table["rank"], "rank", file)
    wrong = np.flatnonzero(numbers != np.round(numbers))
    if len(wrong):
        rows = wrong[:_NUM_EXAMPLES].tolist()
        examples = ", ".join(f"{numbers[row]:g} ({place})" for row, place in zip(rows, places(file, rows), strict=True))
        raise DataError(
            f"{file}: column rank has {len(wrong)} cells that are not integers: {examples}; it takes grades such as "
            "0, 1, 2; numbers with decimals go into a column called value"
        )
    grading = _span(numbers, "rank", file, first_rank)
    return grading if "value" not in table else _with_values(grading, table, file)


def _with_values(grading: Grading, table: pd.DataFrame, file: Path) -> Grading:
    """Returns a grading whose values are those of the column `value`, and of a rank their mean."""
    value = _numbers(table["value"], "value", file)
    means = pd.Series(value).groupby(grading.rank).mean()
    values = [float(means.get(rank, number)) for rank, number in enumerate(grading.values)]
    return replace(grading, value=value, values=values)


def grade_values(table: pd.DataFrame, file: Path, *, first_rank: int | None = None) -> Grading:
    """Returns the ranks of a column `value` of integers: every integer from minimum to maximum is a rank.

    Names and values are the integers.

    Args:
        table: with `value` as text.
        file: named in errors.
        first_rank: integer that becomes rank 0; None for the smallest.

    Raises:
        ConfigError: values have decimals, which needs bins, or are below `first_rank`.
        DataError: a cell is not a number, or there are more than `MAX_RANKS` ranks.
    """
    if grading := _grade_words(table, "value", first_rank):
        return grading
    numbers = _numbers(table["value"], "value", file)
    if (numbers != np.round(numbers)).any():
        example = numbers[numbers != np.round(numbers)][0]
        raise ConfigError(
            "dataset.bins",
            None,
            f"the values of {file.name} are not all integers ({example:g}), so the ranks have to be given",
            allowed="edges, such as [0,2.5,5,10], or a number of quantiles, such as 5",
        )
    return replace(_span(numbers, "value", file, first_rank), notes=())


def bin_values(table: pd.DataFrame, file: Path, bins: Sequence[float] | int) -> Grading:
    """Returns the ranks of a column `value` that is cut at edges or into quantiles.

    A rank is named by its edges and has the value of its middle.

    Args:
        table: with `value` as text.
        file: named in errors.
        bins: increasing edges, one more than ranks, or the number of quantiles.

    Raises:
        ConfigError: edges are not numbers or do not increase, quantiles coincide, or values are outside the edges.
        DataError: a cell is not a number.
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
        edges = _edges(bins)
        if len(edges) < 3 or not (np.diff(edges) > 0).all():
            raise ConfigError(
                "dataset.bins", list(bins), "not three or more edges that increase", allowed="[0,2.5,5,10]"
            )
    outside = (numbers < edges[0]) | (numbers > edges[-1])
    if outside.any():
        raise ConfigError(
            "dataset.bins",
            edges.tolist(),
            f"{outside.sum()} values of {file.name} lie outside, such as {_exact(numbers[outside][0])}",
            allowed=f"edges from {_exact(numbers.min())} or less to {_exact(numbers.max())} or more, such as -inf and "
            "inf",
        )
    rank = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    closed = edges.copy()  # open bins end at the least and the greatest value
    closed[0] = edges[0] if np.isfinite(edges[0]) else min(numbers.min(), edges[1])
    closed[-1] = edges[-1] if np.isfinite(edges[-1]) else max(numbers.max(), edges[-2])
    middles = (closed[:-1] + closed[1:]) / 2
    words = _edge_words(edges)
    names = [f"{low} to {high}" for low, high in itertools.pairwise(words)]
    if edges[0] == -np.inf:
        names[0] = f"below {words[1]}"
    if edges[-1] == np.inf:
        names[-1] = f"{words[-2]} or more"
    note = f"values were cut into {len(names)} ranks at {', '.join(words)}"
    return Grading(rank, numbers, names, middles.tolist(), (note,))


def name_ranks(
    grading: Grading,
    table: pd.DataFrame,
    rank_names: Sequence[str | int | float] | None,
    rank_values: Sequence[float] | None,
    *,
    may_exceed: bool,
) -> Grading:
    """Returns a grading with other names and values of the ranks.

    Args:
        grading: ranks named by their numbers.
        table: with optional columns `rank_name` and `rank_value`, equal in all rows of a rank.
        rank_names: from the configuration; overrides the column.
        rank_values: from the configuration; overrides the column.
        may_exceed: whether there may be more names than ranks in the table; the further ranks have no image.

    Raises:
        ConfigError: the lists do not fit the table.
        DataError: a rank has two names in the table.
    """
    names, values = list(grading.names), list(grading.values)
    if "rank_name" in table:
        for rank, name in _per_rank(grading, table["rank_name"]).items():
            names[rank] = name
    if "rank_value" in table:
        for rank, text in _per_rank(grading, table["rank_value"]).items():
            try:
                values[rank] = float(text)
            except ValueError:
                raise DataError(f"rank_value of rank {grading.names[rank]} is not a number: {text}") from None
    total = len(names) if rank_names is None else len(rank_names)
    span = f"the {len(names)} ranks {grading.names[0]}…{grading.names[-1]} of the table"
    if rank_names is not None and (total < len(names) or (total > len(names) and not may_exceed)):
        raise ConfigError(
            "dataset.rank_names",
            list(rank_names),
            f"{total} for {span}",
            allowed=f"a list of {len(names)}",
            remedy="ranks without images: dataset.allow_empty=true dataset.first_rank=… (the integer that comes first)",
        )
    if rank_values is not None and len(rank_values) != total:
        raise ConfigError(
            "dataset.rank_values", list(rank_values), f"{len(rank_values)} for {span}", allowed=f"a list of {total}"
        )
    # Ranks above the table's greatest continue its values in equal steps.
    step = values[-1] - values[-2] if len(values) > 1 else 1.0
    values += [values[-1] + step * more for more in range(1, total - len(values) + 1)]
    return replace(
        grading,
        names=names if rank_names is None else [str(name) for name in rank_names],
        values=values if rank_values is None else [float(value) for value in rank_values],
    )


def _grade_words(table: pd.DataFrame, column: str, first_rank: int | None) -> Grading | None:
    """Returns the ranks of an ordered categorical column in the order of its categories; None if these are numbers."""
    names = table.attrs.get("orders", {}).get(column, [])
    if not names or pd.to_numeric(pd.Series(names), errors="coerce").notna().all() or table[column].isna().any():
        return None
    if first_rank is not None:
        problem = f"column {column} has ordered categories, the first of which is rank 0"
        raise ConfigError("dataset.first_rank", first_rank, problem, allowed="null")
    rank = table[column].map({name: rank for rank, name in enumerate(names)}).to_numpy(dtype=np.int64)
    note = f"ranks in the order of the categories of column {column}: {' < '.join(names)}"
    return Grading(rank, rank.astype(float), list(names), [float(value) for value in range(len(names))], (note,))


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
            f"{file}: column {column} spans {low}…{high}: {high - low + 1} ranks; at most {MAX_RANKS} are allowed\n"
            "  what to do: look for a wrong number, or join values into bins: a column value and dataset.bins"
        )
    integers = range(low, high + 1)
    notes = (f"ranks {low}…{high} of {file.name} were shifted to 0…{high - low}",) if low != 0 else ()
    names, values = [str(integer) for integer in integers], [float(integer) for integer in integers]
    return Grading((numbers - low).astype(np.int64), numbers, names, values, notes, low)


def _numbers(cells: pd.Series, column: str, file: Path) -> np.ndarray:
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        words = cells.astype(object).where(cells.notna(), "(empty)")
        rows = wrong[:_NUM_EXAMPLES].tolist()
        examples = ", ".join(
            f"{words.iloc[row]} ({place})" for row, place in zip(rows, places(file, rows), strict=True)
        )
        raise DataError(
            f"{file}: {len(wrong)} cells of column {column} are not numbers: {examples}\n"
            f"  what to do: {_remedy(cells.iloc[wrong].dropna().str.strip())}"
        )
    return numbers


def _remedy(cells: pd.Series) -> str:
    """Returns what to do about cells that are not numbers, by what most of them are."""
    kinds = {kind: int(cells.str.contains(pattern).sum()) for kind, (pattern, _) in _NOT_NUMBERS.items()}
    kind = max(kinds, key=lambda name: kinds[name])
    if 2 * kinds[kind] > len(cells) > 0:
        return _NOT_NUMBERS[kind][1]
    return "correct them, or remove their rows"


def _edges(bins: Sequence[float]) -> np.ndarray:
    """Returns the edges as floats. Yaml's `.inf` is text on the command line, where `inf` is the number."""
    try:
        return np.array([float(str(edge).replace(".inf", "inf")) for edge in bins])
    except ValueError:
        problem = "not all edges are numbers"
        raise ConfigError("dataset.bins", list(bins), problem, allowed="such as [0,2.5,5,10] or [-inf,0,inf]") from None


def _exact(number: float) -> str:
    """Returns the shortest decimal of a number, without an exponent."""
    return np.format_float_positional(number, trim="-")


def _edge_words(edges: np.ndarray) -> list[str]:
    """Returns the edges with six digits, with more if two would be equal, and never with an exponent."""
    words = [f"{edge:g}" for edge in edges]
    if any("e" in word for word in words):
        words = [
            f"{edge:,.0f}" if abs(edge) >= _THOUSANDS else _exact(float(word))
            for edge, word in zip(edges, words, strict=True)
        ]
    digits = 6
    while len(set(words)) < len(words) and digits < 17:
        digits += 1
        words = [_exact(float(f"{edge:.{digits}g}")) for edge in edges]
    return words


def _per_rank(grading: Grading, column: pd.Series) -> dict[int, str]:
    """Returns the cell of each rank that has one."""
    found: dict[int, str] = {}
    for rank, cell in zip(grading.rank, column, strict=True):
        if pd.isna(cell):
            continue
        if found.setdefault(int(rank), cell) != cell:
            raise DataError(f"column {column.name}: rank {grading.names[rank]} has both {found[int(rank)]} and {cell}")
    return found
