"""Tables on the terminal and in files: Markdown, CSV, XLSX, LaTeX."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.sheet import Sheet, to_csv, to_latex, to_markdown, to_records
from ordinalclip.errors import ConfigError

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
