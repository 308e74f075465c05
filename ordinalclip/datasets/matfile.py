"""The .mat files that some data sets come with: one MATLAB struct of columns, read without MATLAB."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import loadmat

from ordinalclip.errors import DataError

_AGAIN = "\n  what to do: see whether it is the file that was published; copy it again"


def read_struct(file: Path, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """Columns of a struct, a row an image.

    Args:
        file: a MATLAB file before version 7.3, as all of these are.
        name: of the struct, such as `celebrityImageData`.
        columns: of the struct; each an array of numbers, or of cells that hold a text or a row of numbers.

    Returns:
        Numbers as float64, texts as str (blanks at their ends removed), rows of numbers as tuples.

    Raises:
        DataError: the file cannot be read, or has no such struct or column, or the columns are not of one length.
    """
    try:
        content = loadmat(str(file))
    except Exception as error:  # scipy raises ValueError, NotImplementedError, TypeError, zlib.error, … on broken files
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{file}: cannot be read as a MATLAB file: {problem}\n  what to do: copy it again") from None
    struct = content.get(name)
    fields = getattr(getattr(struct, "dtype", None), "names", None)
    if struct is None or fields is None or struct.size != 1:
        held = ", ".join(key for key in content if not key.startswith("__"))
        raise DataError(f"{file}: holds no struct {name}; it holds {held or 'nothing'}{_AGAIN}")
    missing = [column for column in columns if column not in fields]
    if missing:
        raise DataError(f"{file}: {name} has no column {', '.join(missing)}; it has {', '.join(fields)}{_AGAIN}")
    table = {column: _plain(struct[column].item()) for column in columns}
    lengths = {column: len(values) for column, values in table.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{column} {length:,}" for column, length in lengths.items())
        raise DataError(f"{file}: the columns of {name} are not of one length: {told}{_AGAIN}")
    return pd.DataFrame(table)


def _plain(column: np.ndarray) -> pd.Series:
    cells = column.reshape(-1)
    if column.dtype != object:
        return pd.Series(cells.astype("float64")) if column.dtype.kind in "buif" else pd.Series(cells, dtype="str")
    if all(cell.dtype.kind in "US" for cell in cells):
        return pd.Series(["".join(map(str, cell.reshape(-1))).strip() for cell in cells], dtype="str")
    return pd.Series([tuple(float(number) for number in cell.reshape(-1)) for cell in cells], dtype="object")
