"""Reading text, tables and list files from users and data sets: found, decoded, every cell as text.

A list file has a path and its labels on each line.
"""

import codecs
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.errors import ConfigError, DataError

_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16", codecs.BOM_UTF8: "UTF-8"}

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
SEPARATORS = {"\t": "tab", ";": "semicolon", ",": "comma"}
# Labels are the integers at a line's end, so that paths may hold blanks. Blanks, tabs, commas and semicolons separate.
_LINE = re.compile(r"\s*(?P<path>.*?\S)(?P<labels>(?:[\s,;]+[+-]?\d+)+)[\s,;]*")


def read_lines(file: Path, *, encoding: str = "utf-8") -> list[str]:
    """The lines of a text file with LF, CRLF or CR line ends, without a byte order mark.

    Args:
        file: a text file; where it may be missing, ask `layout.find_root` for it first.
        encoding: that the data set was published in.

    Raises:
        DataError: the file cannot be read, is of another encoding, or is no text.
    """
    text = read_text(file, encoding=encoding).replace("\r\n", "\n").replace("\r", "\n")
    return text.removesuffix("\n").split("\n") if text else []  # str.splitlines would cut at U+2028 and others, too


def read_text(file: Path, *, encoding: str = "utf-8") -> str:
    """All of a text file, as `read_lines` takes it."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from None
    if encoding.lower() in ("utf-8", "utf8"):
        data = data.removeprefix(codecs.BOM_UTF8)
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    name = encoding.upper()
    remedy = f"  what to do: save it as {name}, or copy it again"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        found = f"it seems to be {marked}" if marked else f"byte {error.start} is 0x{data[error.start]:02x}"
        raise DataError(
            f"{file}: is not {encoding.upper()} ({error.reason} at byte {error.start}; {found})\n{remedy}"
        ) from None
    if "\0" in text:
        found = f"it seems to be {marked or 'UTF-16, or no text'}"
        raise DataError(
            f"{file}: is not {encoding.upper()} text (a zero byte at {text.index(chr(0))}; {found})\n{remedy}"
        )
    return text


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


def read_list(file: Path, num_ranks: int) -> pd.DataFrame:
    """Read a list.

    Args:
        file: UTF-8 text with LF, CRLF or CR line ends; empty lines are passed over.
        num_ranks: R; labels are 0…R-1.

    Returns:
        `path` (normalised, forward slashes), `rank` (the middle label in order, of an even number the upper of the two
        in the middle) and `labels` (all of them as written, separated by a blank).

    Raises:
        DataError: naming the lines that are not a path and labels, and those whose labels are no ranks.
    """
    lines = read_lines(file)
    paths, ranks, labels, unread, outside = [], [], [], [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            unread.append(f"line {number}: {line.strip()[:80]}")
            continue
        given = [int(label) for label in re.findall(r"[+-]?\d+", found["labels"])]
        if not all(0 <= label < num_ranks for label in given):
            outside.append(f"line {number}: {line.strip()[:80]}")
            continue
        paths.append(found["path"].replace("\\", "/"))
        ranks.append(sorted(given)[len(given) // 2])
        labels.append(" ".join(map(str, given)))
    separate = "put a blank, tab, comma or semicolon between a path and its labels, and between two labels"
    refuse(file, unread, "lines are not a path and integer labels", remedy=separate)
    remedy = "correct these labels, or take the lines out; labels are ranks, and the first rank is 0"
    refuse(file, outside, f"lines have a label outside 0…{num_ranks - 1}", remedy=remedy)
    if not paths:
        raise DataError(
            f"{file}: names no image; a line is a path and one or more integer labels\n  what to do: copy it again"
        )
    normal = normal_paths(pd.Series(paths, dtype="str"), file)
    return pd.DataFrame(
        {"path": pd.Series(normal, dtype="str"), "rank": ranks, "labels": pd.Series(labels, dtype="str")}
    )
