"""A table to read and to go on with: what each cell says, the numbers behind it, and notes that go wherever it goes."""

import csv
import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ordinalclip.errors import ConfigError

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


# MERGED: """Tables on the terminal and in files: Markdown, CSV, XLSX, LaTeX."""


FORMATS = {"terminal": "", "md": ".md", "csv": ".csv", "xlsx": ".xlsx", "latex": ".tex"}
_FILE_WIDTH = 160  # a file or a pipe has room


def read_formats(typed: str | None, out: str | None) -> tuple[list[str], Path | None]:
    """The formats that were asked for, and where to.

    Args:
        typed: of `format=`.
        out: of `out=`; its suffix says the format where none is typed.

    Raises:
        ConfigError: there is no such format, or xlsx has no file.
    """
    place = None if out is None else Path(out)
    of_suffix = {suffix: name for name, suffix in FORMATS.items() if suffix}
    if place is not None and place.suffix in of_suffix:
        typed, place = typed or of_suffix[place.suffix], place.with_suffix("")
    formats = (typed or "terminal").split(",")
    for name in formats:
        if name not in FORMATS:
            raise ConfigError("format", name, "there is no such format", allowed=", ".join(FORMATS))
    if "xlsx" in formats and place is None:
        raise ConfigError("format", "xlsx", "is a file", remedy="out=NAME says which")
    return formats, place


def write_sheets(sheets: Sequence[Sheet], formats: Sequence[str], out: Path | None) -> list[Path]:
    """Prints or writes tables.

    Args:
        sheets: in the order to be read.
        formats: of `FORMATS`.
        out: a file without its suffix; CSV has a file for each table but the first, named behind it.

    Returns:
        The files that were written.
    """
    written: list[Path] = []
    for name in formats:
        if name == "terminal":
            for sheet in sheets:
                print_sheet(sheet)
        elif name == "xlsx":
            assert out is not None
            written.append(_write_xlsx(sheets, out.with_name(f"{out.name}.xlsx")))
        elif name == "csv" and out is not None:
            for index, sheet in enumerate(sheets):
                stem = out.name if index == 0 else f"{out.name}-{sheet.name}"
                written.append(_write(out.with_name(f"{stem}.csv"), to_csv(sheet)))
        else:
            make = {"md": to_markdown, "latex": to_latex, "csv": to_csv}[name]
            text = "\n".join(make(sheet) for sheet in sheets)
            if out is None:
                sys.stdout.write(text)
            else:
                written.append(_write(out.with_name(f"{out.name}{FORMATS[name]}"), text))
    for file in written:
        print(f"written {file}", file=sys.stderr)
    return written


def print_sheet(sheet: Sheet, console: Console | None = None) -> None:
    """Prints a table on the terminal; to a file or a pipe as wide as it needs to be."""
    if console is None:
        console = Console()
        if not console.is_terminal and "COLUMNS" not in os.environ:
            console.width = _FILE_WIDTH
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for index, heading in enumerate(sheet.headings):
        number = index >= len(sheet.headings) - sheet.numeric
        table.add_column(Text(heading), justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in sheet.rows:
        table.add_row(*(Text(cell.text, style="bold" if cell.bold else "") for cell in row))
    console.print(Text(sheet.title), soft_wrap=True)
    console.print(table)
    for note in sheet.notes:
        console.print(Text(note), soft_wrap=True)
    console.print()


def _write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def _write_xlsx(sheets: Sequence[Sheet], file: Path) -> Path:
    from openpyxl import Workbook
    from openpyxl.styles import Font

    book = Workbook()
    book.remove(book.active)
    for sheet in sheets:
        page = book.create_sheet(sheet.name[:31])
        headings, rows = to_records(sheet)
        page.append(headings)
        for row in rows:
            page.append([None if isinstance(value, float) and value != value else value for value in row])
        for cell in page[1]:
            cell.font = Font(bold=True)
        for number, heading in enumerate(headings):
            width = max([len(heading), *(len(str(row[number])) for row in rows)], default=8)
            page.column_dimensions[page.cell(1, number + 1).column_letter].width = min(width + 2, 40)
        page.freeze_panes = "A2"
    file.parent.mkdir(parents=True, exist_ok=True)
    book.save(file)
    return file
