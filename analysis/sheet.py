"""A table to read and to go on with: what each cell says, the numbers behind it, and notes that go wherever it goes."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

EMPTY = "–"


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: as it is read.
        numbers: behind it, by what they are ("" is the number itself), for CSV and XLSX; None: the text.
        bold: whether it stands out.
    """

    text: str
    numbers: Mapping[str, float | None] | None = None
    bold: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        name: a word, for files and tabs.
        title: a line.
        headings: of the columns.
        rows: of cells, one a heading.
        notes: below it, each a sentence.
        numeric: how many columns, from the right, are numbers.
    """

    name: str
    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    numeric: int = 0


def to_markdown(sheet: Sheet) -> str:
    """GitHub's tables, their columns aligned."""
    rows = [[_in_markdown(cell) for cell in row] for row in sheet.rows]
    headings = [_piped(heading) for heading in sheet.headings]
    widths = [max(3, *(len(row[i]) for row in [headings, *rows])) for i in range(len(headings))]
    first_number = len(headings) - sheet.numeric
    rule = ["-" * width if i < first_number else "-" * (width - 1) + ":" for i, width in enumerate(widths)]

    def line(cells: Sequence[str]) -> str:
        placed = (
            c.ljust(w) if i < first_number else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(placed)} |"

    lines = [f"**{sheet.title}**", "", line(headings), f"| {' | '.join(rule)} |", *map(line, rows)]
    return "\n".join([*lines, *(["", *(f"- {_piped(note)}" for note in sheet.notes)] if sheet.notes else [])]) + "\n"


def to_latex(sheet: Sheet) -> str:
    """A table of the booktabs package."""
    columns = "l" * (len(sheet.headings) - sheet.numeric) + "r" * sheet.numeric
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{in_latex(sheet.title)}}}",
        rf"  \begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        f"    {' & '.join(map(in_latex, sheet.headings))} \\\\",
        r"    \midrule",
    ]
    for row in sheet.rows:
        cells = (rf"\textbf{{{in_latex(cell.text)}}}" if cell.bold else in_latex(cell.text) for cell in row)
        lines.append(f"    {' & '.join(cells)} \\\\")
    lines += [r"    \bottomrule", r"  \end{tabular}"]
    lines += [rf"  \par\footnotesize {in_latex(note)}" for note in sheet.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def in_latex(text: str) -> str:
    """Text as LaTeX prints it."""
    escaped = re.sub(r"([&%$#_{}])", r"\\\1", text.replace("\\", r"\textbackslash "))
    for sign, command in _LATEX_SIGNS.items():
        escaped = escaped.replace(sign, command)
    return escaped


_LATEX_SIGNS = {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "…": r"\ldots{}",
    "<": r"$<$",
    ">": r"$>$",
    "τ": r"$\tau$",
    "−": "$-$",
    "×": r"$\times$",
}


def to_records(sheet: Sheet) -> tuple[list[str], list[list[Any]]]:
    """Headings and rows of plain values: a column for each of a cell's numbers, and one for the notes on all rows.

    Notes stand beside every row, so that a stamp such as "selected on test" survives whatever is done with a file.
    """
    parts: list[list[str]] = []
    for column in range(len(sheet.headings)):
        names = [name for row in sheet.rows for name in (row[column].numbers or {})]
        parts.append(list(dict.fromkeys(names)) or [""])
    headings = [
        f"{heading} {name}".strip() for heading, names in zip(sheet.headings, parts, strict=True) for name in names
    ]
    rows = []
    for row in sheet.rows:
        values: list[Any] = []
        for cell, names in zip(row, parts, strict=True):
            text = None if cell.text == EMPTY else cell.text
            values += [text] if cell.numbers is None else [cell.numbers.get(name) for name in names]
            values += [None] * (len(names) - 1 if cell.numbers is None else 0)
        rows.append([*values, *(["; ".join(sheet.notes)] if sheet.notes else [])])
    return [*headings, *(["notes"] if sheet.notes else [])], rows


def to_csv(sheet: Sheet) -> str:
    """Comma separated, numbers in full."""
    headings, rows = to_records(sheet)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows(rows)
    return text.getvalue()


def _in_markdown(cell: Cell) -> str:
    text = _piped(cell.text)
    return f"**{text}**" if cell.bold else text


def _piped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
