"""What a table's ranks are called: by the configuration, by the table's own columns, or by their numbers."""

from collections.abc import Sequence

import pandas as pd

from ordinalclip.datasets.grading import Grading
from ordinalclip.errors import ConfigError, DataError


def name_ranks(
    grading: Grading,
    table: pd.DataFrame,
    rank_names: Sequence[str | int | float] | None,
    rank_values: Sequence[float] | None,
    *,
    may_exceed: bool,
) -> Grading:
    """Give the ranks their names and values.

    Args:
        grading: the ranks, called by their numbers.
        table: perhaps with the columns `rank_name` and `rank_value`.
        rank_names: from the configuration; go before the column.
        rank_values: likewise.
        may_exceed: whether more names than the table's span may be given; the further ranks have no image.

    Returns:
        The grading under its new names and values.

    Raises:
        ConfigError: where the lists do not fit the table.
        DataError: where a rank has two names in the table.
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
                raise DataError(f"rank_value of rank {grading.names[rank]} is no number: {text}") from None
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
    # More names than the table's span: ranks above its greatest, their values going on in equal steps.
    step = values[-1] - values[-2] if len(values) > 1 else 1.0
    values += [values[-1] + step * more for more in range(1, total - len(values) + 1)]
    return grading.renamed(
        names=names if rank_names is None else [str(name) for name in rank_names],
        values=values if rank_values is None else [float(value) for value in rank_values],
    )


def _per_rank(grading: Grading, column: pd.Series) -> dict[int, str]:
    found: dict[int, str] = {}
    for rank, cell in zip(grading.rank, column, strict=True):
        if pd.isna(cell):
            continue
        if found.setdefault(int(rank), cell) != cell:
            raise DataError(f"column {column.name}: rank {grading.names[rank]} has both {found[int(rank)]} and {cell}")
    return found
