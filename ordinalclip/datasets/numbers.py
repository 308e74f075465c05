"""Columns of numbers in published tables."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ordinalclip.datasets.offenders import refuse
from ordinalclip.datasets.tablefile import read_table, require_columns


def read_columns(file: Path, columns: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """Columns of a table, some of which are numbers; spaces around cells do not count.

    Args:
        file: .csv, .tsv or .txt with a header.
        columns: that it has to have, of which `numbers` are to be numbers, the others text.
        numbers: some of the columns.

    Raises:
        DataError: for columns that are missing and for cells that are no numbers, naming rows.
    """
    table = read_table(file)
    require_columns(table, file, columns)
    table = table.apply(lambda column: column.str.strip())
    for column in numbers:
        parsed = pd.to_numeric(table[column], errors="coerce")
        wrong = parsed.isna().to_numpy()
        told = [f"row {row + 2}: {column} {table[column][row]}" for row in wrong.nonzero()[0]]
        refuse(file, told, "cells are no numbers", remedy="correct them, or take their rows out")
        table[column] = parsed.astype("float64")
    return table
