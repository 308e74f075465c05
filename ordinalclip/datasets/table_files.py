"""Reading the text files, tables and lists of users and data sets: decoding, separators, cells as text, paths.

Errors name the file, the line or byte, and what to do. `read_lines` and `read_text` read text in a known encoding;
`read_table` reads .csv, .tsv, .txt and .parquet with every cell as text, so that a subject "007" or "NA" is kept;
`read_list` reads a path and integer labels per line.
"""

import codecs
import csv
import io
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from ordinalclip.datasets.bad_rows import NUM_LISTED, refuse
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.images.decoding import ENDINGS

_BYTE_ORDER_MARKS = {  # the mark of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
SEPARATORS = {"\t": "tab", ";": "semicolon", ",": "comma"}
_SEPARATOR_LINE = re.compile(
    r'"?sep=(?P<separator>[^\r\n])"?[\t ;,]*(?=[\r\n])', re.IGNORECASE
)  # Excel writes and reads it
# Labels are the integers at the end of a line, so paths may contain blanks, tabs, commas and semicolons.
_LINE = re.compile(r"\s*(?P<path>.*?\S)(?P<labels>(?:[\s,;]+[+-]?\d+)+)[\s,;]*")


def read_lines(file: Path, *, encoding: str = "utf-8") -> list[str]:
    """Returns the lines of a text file with LF, CRLF or CR line ends.

    Args:
        file: a text file; `layout.find_root` checks that it exists.
        encoding: that the data set was published in. Of UTF-8, a byte order mark overrides it and is removed.

    Raises:
        DataError: the file cannot be read, has another encoding, or is not text.
    """
    text = read_text(file, encoding=encoding).replace("\r\n", "\n").replace("\r", "\n")
    return text.removesuffix("\n").split("\n") if text else []  # str.splitlines also splits at U+2028 and others


def read_text(file: Path, *, encoding: str = "utf-8") -> str:
    """Returns the content of a text file; see `read_lines`."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from None
    if encoding.lower() in ("utf-8", "utf8"):
        encoding = next((other for mark, other in _BYTE_ORDER_MARKS.items() if data.startswith(mark)), encoding)
    name = encoding.upper().removesuffix("-SIG")
    remedy = f"  what to do: save it as {name}, or copy it again"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        found = f"byte {error.start} is 0x{data[error.start]:02x}"
        raise DataError(f"{file}: is not {name} ({error.reason} at byte {error.start}; {found})\n{remedy}") from None
    if "\0" in text:
        found = f"a zero byte at {text.index(chr(0))}; it seems to be UTF-16, or not text"
        raise DataError(f"{file}: is not {name} text ({found})\n{remedy}")
    return text


def table_file(path: str | None) -> Path:
    """Returns the absolute path of the table that `dataset.path` names.

    Raises:
        ConfigError: it is None, not a file, or of an unknown type.
    """
    allowed = f"a file of type {', '.join(SUFFIXES)} with the columns path,rank or path,value"
    if path is None:
        raise ConfigError("dataset.path", path, "dataset=manifest needs the table of your images", allowed=allowed)
    file = Path(path).expanduser()
    if file.suffix.lower() not in SUFFIXES:
        raise ConfigError("dataset.path", path, f"unknown file type {file.suffix or '(none)'}", allowed=allowed)
    if not file.is_file():
        raise ConfigError("dataset.path", path, f"there is no such file (looked at {file.absolute()})", allowed=allowed)
    return file.absolute()


def read_table(file: Path) -> pd.DataFrame:
    """Returns a table with all cells as str, empty ones NA.

    `attrs["orders"]` has the categories of each ordered categorical column of a .parquet file, from the lowest.

    Args:
        file: .parquet, whose index is read if a level of it is named path; or UTF-8 text, or text with a byte order
            mark. The separator is that of a first line such as `sep=;`, or the most frequent of tab, semicolon and
            comma in the first line.

    Raises:
        DataError: the file is not a table, or has no rows.
    """
    try:
        table = _read_parquet(file) if file.suffix.lower() == ".parquet" else _read_csv(file)
    except (ValueError, OSError) as error:  # pandas' and pyarrow's errors are subclasses
        raise DataError(
            f"{file}: cannot be read as a table: {error}\n"
            "  what to do: check that each row has as many cells as the first, and the same separator"
        ) from None
    if table.empty:
        raise DataError(f"{file}: has no rows\n  what to do: copy it again, or check that it is the right file")
    table.columns = table.columns.str.strip()
    return table


def _read_parquet(file: Path) -> pd.DataFrame:
    typed = pd.read_parquet(file)
    if "path" not in typed and "path" in typed.index.names:
        typed = typed.reset_index()
    table = typed.apply(lambda column: column.map(str, na_action="ignore").astype("str"))
    dtypes = {str(name).strip(): typed[name].dtype for name in typed}
    table.attrs["orders"] = {
        name: [str(category) for category in dtype.categories]
        for name, dtype in dtypes.items()
        if isinstance(dtype, pd.CategoricalDtype) and dtype.ordered
    }
    return table


def _read_csv(file: Path) -> pd.DataFrame:
    text, separator = _table_text(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # raised for a row with more cells than the header
            return pd.read_csv(
                io.StringIO(text, newline=""),
                sep=separator,
                dtype="str",
                keep_default_na=False,
                na_values=[""],
                index_col=False,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        records = list(_records(text, separator))
        width = len(records[0][1])
        longer = [f"line {line} has {len(cells)}" for line, cells in records if len(cells) > width]
        if not longer:
            raise ValueError(str(error)) from None
        problem = f"its first line has {width} cells; {', '.join(longer[:NUM_LISTED])}"
        raise ValueError(problem + (f" and {len(longer) - NUM_LISTED} more" * (len(longer) > NUM_LISTED))) from None


def _table_text(file: Path) -> tuple[str, str]:
    """Returns a table's text, in which a line such as `sep=;` is empty, and its separator."""
    text = read_text(file)
    if found := _SEPARATOR_LINE.match(text):
        return text[found.end() :], found["separator"]
    head = re.split(r"[\r\n]", text, maxsplit=1)[0]
    return text, max(SEPARATORS, key=head.count)


def _records(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the first line's number and the cells of each record that is not blank; quoted cells may span lines."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    line = 1
    for cells in reader:
        if len(cells) > 1 or "".join(cells).strip():
            yield line, cells
        line = reader.line_num + 1


def places(file: Path, rows: Sequence[int]) -> list[str]:
    """Returns where rows of `read_table` are in a file: `line 5` of text, and `row 4` of other files.

    Args:
        file: that the rows were read from.
        rows: positions from 0.
    """
    try:
        if file.suffix.lower() in (".csv", ".tsv", ".txt"):
            lines = [line for line, _ in _records(*_table_text(file))][1:]
            return [f"line {lines[row]}" for row in rows]
    except (DataError, csv.Error, IndexError):  # the file has changed, or is not a table
        pass
    return [f"row {row + 1}" for row in rows]


def require_columns(table: pd.DataFrame, file: Path, columns: Sequence[str]) -> None:
    """Raises DataError if a table lacks a column.

    Args:
        table: from `read_table`.
        file: named in errors.
        columns: required columns.
    """
    missing = [column for column in columns if column not in table]
    if not missing:
        return
    raise DataError(
        f"{file}: has no column {' and no '.join(missing)} (it needs {', '.join(columns)}); {describe_columns(table)}"
    )


def describe_columns(table: pd.DataFrame) -> str:
    """Returns the part of an error message that lists a table's columns and what to do."""
    remedy = "check that it is the right file, and that its first line holds the columns' names"
    if any(str(name).lower().endswith(ENDINGS) for name in table):
        remedy = "its first line names an image: put a line with the columns' names above it, such as path,rank"
    elif len(table.columns) == 1:
        separators = ", ".join(SEPARATORS.values())
        remedy = f"it has one column, so its separator is something else than {separators}: save it with one of these"
    return f"it has {', '.join(map(str, table.columns[:20]))}\n  what to do: {remedy}"


def normal_paths(paths: pd.Series, file: Path) -> list[str]:
    """Returns the normalized path of each row, so that `a/b.png` and `./a//b.png` are equal.

    Args:
        paths: a column of paths.
        file: named in errors.

    Raises:
        DataError: a row has no path.
    """
    empty = paths.isna() | (paths.str.strip() == "")
    if empty.any():
        first = places(file, [int(empty.to_numpy().argmax())])[0]
        raise DataError(f"{file}: {empty.sum()} rows have no path, the first is {first}")
    return [os.path.normpath(path) for path in paths]


def read_list(file: Path, num_ranks: int) -> pd.DataFrame:
    """Reads a list file with a path and one or more integer labels per line.

    Args:
        file: UTF-8 text with LF, CRLF or CR line ends; empty lines are skipped.
        num_ranks: R; labels are 0…R-1.

    Returns:
        `path` (normalized, forward slashes), `rank` (the median label; the upper one of two) and `labels` (all labels
        in the order of the line, separated by blanks).

    Raises:
        DataError: lines are not a path and labels, or labels are out of range.
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
    remedy = "correct these labels, or remove the lines; labels are ranks, and the first rank is 0"
    refuse(file, outside, f"lines have a label outside 0…{num_ranks - 1}", remedy=remedy)
    if not paths:
        raise DataError(
            f"{file}: names no image; a line is a path and one or more integer labels\n  what to do: copy it again"
        )
    normal = normal_paths(pd.Series(paths, dtype="str"), file)
    return pd.DataFrame(
        {"path": pd.Series(normal, dtype="str"), "rank": ranks, "labels": pd.Series(labels, dtype="str")}
    )
