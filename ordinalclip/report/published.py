"""Published scores, each with its source and the command that makes ours: the rows of published.csv."""

import csv
from dataclasses import dataclass, fields
from pathlib import Path

from ordinalclip.system import PACKAGE

_FILE = PACKAGE.parent / "analysis" / "published.csv"  # a wheel installs both packages side by side


@dataclass(frozen=True)
class PublishedScore:
    """One score of one table.

    Attributes:
        paper: short name of the paper that prints it.
        table: which of its tables, by what it is about.
        dataset: as in `dataset=`.
        setting: what the table varies, in its words; empty where that is nothing.
        method: in the paper's words.
        metric: `mae` in ranks, `accuracy_percent`, or `ordinality_percent` (of 61 prototypes, ages 15 to 75).
        value: as printed.
        std: standard deviation as printed, or None.
        source: where it is printed.
        command: overrides of `python -m ordinalclip.train` that make the cell here; empty for methods not built here.
    """

    paper: str
    table: str
    dataset: str
    setting: str
    method: str
    metric: str
    value: float
    std: float | None
    source: str
    command: str


def read_published(file: Path = _FILE) -> list[PublishedScore]:
    """Read the scores in the file's order.

    Args:
        file: a .csv with a column for every attribute of `PublishedScore`.

    Raises:
        ValueError: naming the line, for other columns, a value that is no number, or a score that stands there twice.
    """
    names = [field.name for field in fields(PublishedScore)]
    scores: dict[tuple[str, ...], PublishedScore] = {}
    with file.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        if reader.fieldnames != names:
            raise ValueError(f"{file}: has the columns {reader.fieldnames}, not {names}")
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"{file}, line {reader.line_num}: has not {len(names)} cells")
            key = tuple(row[name] for name in ("paper", "table", "dataset", "setting", "method", "metric"))
            if key in scores:
                raise ValueError(f"{file}, line {reader.line_num}: stands there twice: {', '.join(key)}")
            try:
                std = float(row["std"]) if row["std"] else None
                scores[key] = PublishedScore(**row | {"value": float(row["value"]), "std": std})  # type: ignore[arg-type]
            except ValueError as error:
                raise ValueError(f"{file}, line {reader.line_num}: {error}") from None
    return list(scores.values())
