"""One list file: a path and its labels on each line."""

import re
from pathlib import Path

import pandas as pd

from ordinalclip.datasets.offenders import refuse
from ordinalclip.datasets.tablefile import normal_paths
from ordinalclip.datasets.textfile import read_lines
from ordinalclip.errors import DataError

# Labels are the integers at a line's end, so that paths may hold blanks. Blanks, tabs, commas and semicolons separate.
_LINE = re.compile(r"\s*(?P<path>.*?\S)(?P<labels>(?:[\s,;]+[+-]?\d+)+)[\s,;]*")


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
