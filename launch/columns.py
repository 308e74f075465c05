"""A table as plain text, quick with thousands of rows; the last column takes what room there is."""

from collections.abc import Sequence


def in_columns(heading: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Lines of columns two blanks apart.

    Args:
        heading: of each column; numbers stand to the right where a heading starts with ">".
        rows: cells; columns that are empty throughout are left out.
        width: of the terminal, where lines end; None is as wide as it takes.
    """
    kept = [place for place in range(len(heading)) if any(row[place] for row in rows)] or [0]
    to_right = [heading[place].startswith(">") for place in kept]
    table = [[heading[place].lstrip(">") for place in kept], *([row[place] for place in kept] for row in rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(kept))]
    lines = []
    for row in table:
        cells = zip(row, widths, to_right, strict=True)
        line = "  ".join(cell.rjust(wide) if right else cell.ljust(wide) for cell, wide, right in cells).rstrip()
        lines.append(line if width is None or len(line) <= width else f"{line[: width - 1]}…")
    return "\n".join(lines)
