"""Tables for the terminal and for files in Markdown, CSV, XLSX and LaTeX.

A cell has a text, for reading, and the numbers behind it in full precision, for CSV and XLSX. The notes of a table are
part of every format.
"""

import csv
import io
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ordinalclip.errors import ConfigError

EMPTY = "–"
FORMATS = {"terminal": "", "md": ".md", "csv": ".csv", "xlsx": ".xlsx", "latex": ".tex"}
_FILE_WIDTH = 160  # of tables that are not printed to a terminal
_LATEX_SYMBOLS = {
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


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: for reading.
        numbers: for CSV and XLSX, by name ("" for the value itself, "std", …); None = the text.
        bold: whether the text is bold.
    """

    text: str
    numbers: Mapping[str, float | None] | None = None
    bold: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        name: a word, for names of files and XLSX sheets.
        title: one line.
        headings: of the columns.
        rows: of cells, one per heading.
        notes: sentences below the table.
        numeric: number of numeric columns, which are the last ones.
    """

    name: str
    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    numeric: int = 0


def format_number(value: float) -> str:
    """A score with three decimals."""
    return EMPTY if math.isnan(value) else f"{value:.3f}"


def format_signed(value: float) -> str:
    """A difference with its sign and three decimals."""
    return EMPTY if math.isnan(value) else f"{value:+.3f}"


def format_spread(value: float, std: float) -> str:
    """Mean ± standard deviation; the mean alone if the latter is nan."""
    return format_number(value) if math.isnan(std) else f"{format_number(value)} ± {format_number(std)}"


def format_interval(low: float, high: float, form: Callable[[float], str] = format_number) -> str:
    """A confidence interval, each end formatted by `form`."""
    return EMPTY if math.isnan(low) else f"{form(low)} … {form(high)}"


def format_p(p: float) -> str:
    """A p-value with two digits."""
    if math.isnan(p):
        return EMPTY
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.0995 else f"{p:.2f}"


def to_markdown(sheet: Sheet) -> str:
    """Formats a table as GitHub-flavored Markdown with aligned columns."""
    rows = [[_markdown_cell(cell) for cell in row] for row in sheet.rows]
    headings = [_escape_markdown(heading) for heading in sheet.headings]
    widths = [max(3, *(len(row[i]) for row in [headings, *rows])) for i in range(len(headings))]
    first_number = len(headings) - sheet.numeric
    rule = ["-" * width if i < first_number else "-" * (width - 1) + ":" for i, width in enumerate(widths)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            c.ljust(w) if i < first_number else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    lines = [f"**{sheet.title}**", "", line(headings), f"| {' | '.join(rule)} |", *map(line, rows)]
    notes = ["", *(f"- {_escape_markdown(note)}" for note in sheet.notes)] if sheet.notes else []
    return "\n".join([*lines, *notes]) + "\n"


def _markdown_cell(cell: Cell) -> str:
    text = _escape_markdown(cell.text)
    return f"**{text}**" if cell.bold else text


def _escape_markdown(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def to_latex(sheet: Sheet) -> str:
    """Formats a table for LaTeX with the booktabs package."""
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
    """Escapes a text for LaTeX."""
    escaped = re.sub(r"([&%$#_{}])", r"\\\1", text.replace("\\", r"\textbackslash "))
    for symbol, command in _LATEX_SYMBOLS.items():
        escaped = escaped.replace(symbol, command)
    return escaped


def to_records(sheet: Sheet) -> tuple[list[str], list[list[Any]]]:
    """Returns headings and rows of plain values, with a column for each number of a cell and one for the notes.

    The notes are repeated in every row, so that a note such as "selected on test" is kept if rows are copied.
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
    """Formats a table as CSV with numbers in full precision."""
    headings, rows = to_records(sheet)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    writer.writerows(rows)
    return text.getvalue()


def read_formats(typed: str | None, out: str | None) -> tuple[list[str], Path | None]:
    """Parses `format=` and `out=`.

    Args:
        typed: value of `format=`; by default the suffix of `out`, else "terminal".
        out: value of `out=`.

    Returns:
        The formats, and the file without its suffix.

    Raises:
        ConfigError: if a format does not exist, or xlsx is requested without a file.
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
        sheets: the tables.
        formats: names from `FORMATS`.
        out: a file without its suffix; None prints. For CSV, each table after the first has a file `<out>-<name>.csv`.

    Returns:
        The written files.
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
    """Prints a table; the width is that of the terminal, else `_FILE_WIDTH` or COLUMNS."""
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
