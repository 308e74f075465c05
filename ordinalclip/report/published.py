"""Published scores with their source and the command that reproduces them: the rows of analysis/published.csv."""

import csv
from dataclasses import dataclass, fields
from pathlib import Path

from ordinalclip.system import PACKAGE

_FILE = PACKAGE.parent / "analysis" / "published.csv"  # a wheel installs both packages side by side


@dataclass(frozen=True)
class PublishedScore:
    """One score of one table.

    Attributes:
        paper: Short name of the paper.
        table: Topic of the table.
        dataset: Name of the data set, as in `dataset=`.
        setting: Setting that the table varies, as named there; empty if there is none.
        method: Name of the method in the paper.
        metric: `mae` in ranks, `accuracy_percent`, or `ordinality_percent` (of 61 prototypes, ages 15 to 75).
        value: Printed value.
        std: Printed standard deviation, or None.
        source: Place in the paper.
        command: Overrides of `python -m ordinalclip.train` that reproduce it; empty for methods not implemented here.
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
    """Reads the scores in the file's order.

    Args:
        file: CSV file with a column for every attribute of `PublishedScore`.

    Raises:
        ValueError: If the columns differ, or, naming the line, a value is no number or a score is repeated.
    """
    names = [field.name for field in fields(PublishedScore)]
    scores: dict[tuple[str, ...], PublishedScore] = {}
    with file.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        if reader.fieldnames != names:
            raise ValueError(f"{file}: has the columns {reader.fieldnames}, not {names}")
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"{file}, line {reader.line_num}: does not have {len(names)} cells")
            key = tuple(row[name] for name in ("paper", "table", "dataset", "setting", "method", "metric"))
            if key in scores:
                raise ValueError(f"{file}, line {reader.line_num}: duplicate score: {', '.join(key)}")
            try:
                std = float(row["std"]) if row["std"] else None
                scores[key] = PublishedScore(**row | {"value": float(row["value"]), "std": std})  # type: ignore[arg-type]
            except ValueError as error:
                raise ValueError(f"{file}, line {reader.line_num}: {error}") from None
    return list(scores.values())
