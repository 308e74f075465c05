"""Reading a table file from a user: found, decoded, every cell as text."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ordinalclip.datasets.textfile import read_text
from ordinalclip.errors import ConfigError, DataError

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
SEPARATORS = {"\t": "tab", ";": "semicolon", ",": "comma"}


def table_file(path: str | None) -> Path:
    """Check `dataset.path`.

    Args:
        path: as configured.

    Returns:
        The full path of a file of a known type.

    Raises:
        ConfigError: where there is none.
    """
    allowed = f"a file of type {', '.join(SUFFIXES)} with the columns path,rank or path,value"
    if path is None:
        raise ConfigError("dataset.path", path, "dataset=manifest needs the table of your images", allowed=allowed)
    file = Path(path).expanduser()
    if file.suffix.lower() not in SUFFIXES:
        raise ConfigError("dataset.path", path, f"the type {file.suffix or '(none)'} is not known", allowed=allowed)
    if not file.is_file():
        raise ConfigError("dataset.path", path, f"there is no such file (looked at {file.absolute()})", allowed=allowed)
    return file.absolute()


def read_table(file: Path) -> pd.DataFrame:
    """Read a table as text, so that a subject "007" or "NA" stays what it is.

    Args:
        file: .parquet, or UTF-8 text whose first line tells the separator: tab, semicolon or comma.

    Returns:
        All cells as str, empty ones NA.

    Raises:
        DataError: where the file is no such table.
    """
    try:
        if file.suffix.lower() == ".parquet":
            typed = pd.read_parquet(file)
            table = typed.apply(lambda column: column.map(str, na_action="ignore").astype("str"))
        else:
            table = _read_text(file)
    except UnicodeDecodeError:
        read_text(file)  # tells where, and what it seems to be
        raise
    except (
        ValueError,
        OSError,
        pd.errors.ParserWarning,
    ) as error:  # pandas' and pyarrow's own errors are of these kinds
        remedy = "see whether each row has as many cells as the first, and the same separator"
        raise DataError(f"{file}: cannot be read as a table: {error}\n  what to do: {remedy}") from None
    if table.empty:
        raise DataError(f"{file}: has no rows\n  what to do: copy it again, or see whether it is the right file")
    table.columns = table.columns.str.strip()
    return table


def _read_text(file: Path) -> pd.DataFrame:
    with file.open(encoding="utf-8-sig") as stream:
        head = stream.readline()
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # a row with more cells than the header has names
        return pd.read_csv(
            file,
            sep=max(SEPARATORS, key=head.count),
            dtype="str",
            keep_default_na=False,
            na_values=[""],
            encoding="utf-8-sig",
            index_col=False,
        )


def require_columns(table: pd.DataFrame, file: Path, columns: Sequence[str]) -> None:
    """See that a table has what a data set's layout says.

    Args:
        table: from `read_table`.
        file: named in errors.
        columns: that are needed.

    Raises:
        DataError: naming the missing columns, and those that are there.
    """
    missing = [column for column in columns if column not in table]
    if not missing:
        return
    raise DataError(
        f"{file}: has no column {' and no '.join(missing)} (it needs {', '.join(columns)}); {columns_told(table)}"
    )


def columns_told(table: pd.DataFrame) -> str:
    """What columns a table has that lacks some, and what to do."""
    remedy = "see whether it is the right file, and its first line the columns' names"
    if len(table.columns) == 1:
        separators = ", ".join(SEPARATORS.values())
        remedy = f"it has one column, so it is separated by something else than {separators}: save it with one of these"
    return f"it has {', '.join(map(str, table.columns[:20]))}\n  what to do: {remedy}"


def normal_paths(paths: pd.Series, file: Path) -> list[str]:
    """Write paths in one way, so that `a/b.png` and `./a//b.png` are found to be the same.

    Args:
        paths: the column.
        file: named in errors.

    Returns:
        A path per row.

    Raises:
        DataError: where a row has none.
    """
    empty = paths.isna() | (paths.str.strip() == "")
    if empty.any():
        raise DataError(
            f"{file}: {empty.sum()} rows have no path, the first is row {int(empty.to_numpy().argmax()) + 1}"
        )
    return [os.path.normpath(path) for path in paths]
