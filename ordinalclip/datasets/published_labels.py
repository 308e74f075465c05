"""Labels in published files: columns of numbers, medical grades, .mat files, and votes of many people.

Votes: counts of grades from 1 on; ranks are cut from their mean.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import loadmat

from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.datasets.grading import Grading, bin_values
from ordinalclip.datasets.layout import Source
from ordinalclip.datasets.table_files import normal_paths, read_table, require_columns
from ordinalclip.errors import ConfigError, DataError

PARTS = {"train": "train", "valid": "val", "test": "test"}  # as data sets name them → the split
REMEDY = "see whether it is the table that was published; correct these rows, or take them out"
_AGAIN = "\n  what to do: see whether it is the file that was published; copy it again"
_SHARE_ERROR = 1e-3  # of a vote: shares are written with a dozen digits


def read_columns(file: Path, columns: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """Read a table some of whose columns are numbers; spaces around cells are removed.

    Args:
        file: .csv, .tsv or .txt with a header.
        columns: required columns.
        numbers: those of them that are converted to float64; the others stay text.

    Raises:
        DataError: columns are missing, or cells are not numbers; rows are named.
    """
    table = read_table(file)
    require_columns(table, file, columns)
    table = table.apply(lambda column: column.str.strip())
    for column in numbers:
        parsed = pd.to_numeric(table[column], errors="coerce")
        wrong = parsed.isna().to_numpy()
        lines = [f"row {row + 2}: {column} {table[column][row]}" for row in wrong.nonzero()[0]]
        refuse(file, lines, "cells are no numbers", remedy="correct them, or take their rows out")
        table[column] = parsed.astype("float64")
    return table


def read_parts(
    source: Source, tables: str, image: str, numbers: Sequence[str], *, texts: Sequence[str] = ()
) -> pd.DataFrame:
    """Read one table for each of the parts train, valid and test.

    Args:
        source: the data set.
        tables: name of a table relative to its root, in which `{part}` is replaced.
        image: column of paths.
        numbers: columns of numbers.
        texts: columns of text.

    Returns:
        The tables in one, with `path` (normalized), `part`, and `split` (train, val or test).
    """
    rows = []
    for part, split in PARTS.items():
        file = source.root / tables.replace("{part}", part)
        table = read_columns(file, [image, *texts, *numbers], numbers)
        paths = pd.Series(normal_paths(table[image], file), dtype="str")
        rows.append(table.assign(path=paths, part=part, split=split))
    return pd.concat(rows, ignore_index=True)


def read_grades(file: Path, *, image: str, grade: str, num_ranks: int) -> pd.DataFrame:
    """Read a table of medical grades; further columns are ignored.

    Args:
        file: with a header.
        image: column of the images' names, which have no suffix.
        grade: column of the grades.
        num_ranks: R; grades are 0…R-1.

    Returns:
        `image` (str), `rank` (int64) and `raw` (the grade as written).

    Raises:
        DataError: rows have no image or no grade on the scale, or an image has two rows; rows are named.
    """
    table = read_table(file)
    require_columns(table, file, [image, grade])
    names, cells = table[image].str.strip(), table[grade].str.strip()
    words = {str(rank): rank for rank in range(num_ranks)} | {f"{rank}.0": rank for rank in range(num_ranks)}
    rank = cells.map(words)
    shown = zip(names.fillna("(empty)"), cells.fillna("(empty)"), strict=True)
    lines = [f"row {row}: {name}, {cell}" for row, (name, cell) in enumerate(shown, 2)]
    wrong = (names.isna() | rank.isna()).to_numpy()
    problem = f"rows have no image with a grade of 0…{num_ranks - 1}"
    refuse(file, [line for line, bad in zip(lines, wrong, strict=True) if bad], problem, remedy=REMEDY)
    twice = names.duplicated(keep=False).to_numpy()
    problem, remedy = "rows share an image with another row", "keep one row of each image"
    refuse(file, [line for line, bad in zip(lines, twice, strict=True) if bad], problem, remedy=remedy)
    return pd.DataFrame({"image": names, "rank": rank.astype("int64"), "raw": cells})


def read_struct(file: Path, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """Read columns of a struct in a MATLAB file before version 7.3; a row is an image.

    Args:
        file: the .mat file.
        name: of the struct, such as `celebrityImageData`.
        columns: of the struct; each an array of numbers, or of cells that hold a text or a row of numbers.

    Returns:
        Numbers as float64, texts as str (spaces at their ends removed), rows of numbers as tuples.

    Raises:
        DataError: the file cannot be read, has no such struct or column, or the columns differ in length.
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
        found = ", ".join(f"{column} {length:,}" for column, length in lengths.items())
        raise DataError(f"{file}: the columns of {name} are not of one length: {found}{_AGAIN}")
    return pd.DataFrame(table)


def _plain(column: np.ndarray) -> pd.Series:
    cells = column.reshape(-1)
    if column.dtype != object:
        return pd.Series(cells.astype("float64")) if column.dtype.kind in "buif" else pd.Series(cells, dtype="str")
    if all(cell.dtype.kind in "US" for cell in cells):
        return pd.Series(["".join(map(str, cell.reshape(-1))).strip() for cell in cells], dtype="str")
    return pd.Series([tuple(float(number) for number in cell.reshape(-1)) for cell in cells], dtype="object")


def vote_statistics(votes_NG: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [N] and standard deviation [N] of the votes.

    Args:
        votes_NG: number or share of the votes for each of the grades 1…G.
    """
    grades = np.arange(1, votes_NG.shape[1] + 1)
    shares = votes_NG / votes_NG.sum(axis=1, keepdims=True)
    mean = shares @ grades
    variance = (shares * (grades - mean[:, None]) ** 2).sum(axis=1)
    return mean, np.sqrt(variance)


def counts_of_shares(votes_NG: np.ndarray, total_N: np.ndarray) -> np.ndarray:
    """Convert shares of votes to counts [N, G].

    Args:
        votes_NG: see `vote_statistics`.
        total_N: number of votes, or nan. Rows that do not sum to 1, or whose shares are not whole counts of this
            number, are returned unchanged.
    """
    counts = votes_NG * total_N[:, None]
    whole = np.isclose(counts, counts.round(), rtol=0, atol=_SHARE_ERROR).all(axis=1)
    shares = np.isclose(votes_NG.sum(axis=1), 1, rtol=0, atol=_SHARE_ERROR) & whole
    return np.where(shares[:, None], counts.round(), votes_NG)


def votes_table(
    votes_NG: np.ndarray,
    file: Path,
    bins: Sequence[float] | int,
    rank_names: Sequence[str] | None,
    rank_values: Sequence[float] | None,
) -> tuple[pd.DataFrame, Grading]:
    """Cut ranks from the mean vote.

    Args:
        votes_NG: see `vote_statistics`; every image has at least one vote.
        file: that they were read from, for errors.
        bins: edges of the ranks, or a number of ranks of about equal size.
        rank_names: by default the edges.
        rank_values: by default the middles.

    Returns:
        A table of `rank`, `value` (the mean), `deviation`, `raw` and `votes` (counts separated by spaces), and the
        ranks.

    Raises:
        ConfigError: invalid bins, or not one name and value for each rank.
    """
    mean, deviation = vote_statistics(votes_NG)
    # Rounded, so that a mean that is an edge falls on the same side everywhere.
    mean = np.round(mean, 9)
    grading = bin_values(pd.DataFrame({"value": mean}), file, bins)
    for key, given in (("rank_names", rank_names), ("rank_values", rank_values)):
        if given is not None and len(given) != len(grading.names):
            remedy = "dataset.rank_names=null dataset.rank_values=null calls ranks by their edges"
            problem = f"{len(given)} for the {len(grading.names)} ranks that dataset.bins makes"
            raise ConfigError(f"dataset.{key}", list(given), problem, allowed="one per rank, or null", remedy=remedy)
    if rank_names is not None:
        grading = replace(grading, names=[str(name) for name in rank_names])
    if rank_values is not None:
        grading = replace(grading, values=[float(value) for value in rank_values])
    votes = [" ".join(f"{vote:g}" for vote in row) for row in votes_NG]
    columns = {"rank": grading.rank, "value": mean, "raw": votes, "deviation": deviation, "votes": votes}
    return pd.DataFrame(columns), grading


def votes_as_labels(votes_NG: np.ndarray, bins: Sequence[float] | int) -> list[str] | None:
    """Write each vote as a rank, for the manifest's column `labels`.

    Args:
        votes_NG: see `vote_statistics`.
        bins: edges of the ranks.

    Returns:
        The ranks of each row in order, separated by spaces; None unless each of G ranks holds exactly one grade and the
        votes are counts.
    """
    grades = np.arange(1, votes_NG.shape[1] + 1)
    if isinstance(bins, int) or len(bins) != len(grades) + 1 or (votes_NG != votes_NG.round()).any():
        return None
    ranks = np.clip(np.searchsorted(bins, grades, side="right") - 1, 0, len(grades) - 1)
    if (ranks != grades - 1).any():
        return None
    return [" ".join(map(str, np.repeat(ranks, row))) for row in votes_NG.astype(np.int64)]
