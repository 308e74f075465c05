"""What one benchmark found: a table with its title and text."""

from dataclasses import dataclass

Row = dict[str, str | int | float | None]


@dataclass(frozen=True)
class Section:
    """What one benchmark found.

    Attributes:
        title: of the section.
        text: paragraphs on what was measured and how.
        rows: one mapping per row of the table, all with the same keys: the columns' names, as they are shown.
    """

    title: str
    text: str
    rows: list[Row]
