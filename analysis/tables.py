"""`python -m analysis.tables`: the paper's tables and figures from runs, the published numbers beside ours."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.usage import FORMAT_USAGE, RUN_USAGE, RUN_WORDS, read_words, runs_root
from ordinalclip.command import run_command
from ordinalclip.errors import ConfigError
from ordinalclip.signatures import did_you_mean

if TYPE_CHECKING:  # help does without tables
    from analysis.paper_table import PaperTable

_TABLES = {
    "main": "MORPH II, Adience, Image Aesthetics and HCI: MAE and accuracy of CNN, zero-shot CLIP, CoOp, OrdinalCLIP",
    "aesthetics": "Image Aesthetics by category",
    "few_shot": "MORPH II with 1 … 64 training images an age; with a figure",
    "shift": "MORPH II with its most frequent ages thinned",
    "base_ranks": "number of base ranks and their interpolation",
    "tuned": "what is tuned and what it starts from",
    "ordinality": "ordinality of the rank features; with a figure",
}
_WITH_FIGURE = ("few_shot", "ordinality")
_OURS = ("table", "figure", "format", "out", *RUN_WORDS)
_USAGE = f"""\
OrdinalCLIP fills the paper's tables with your runs, the published numbers beside them.

  python -m analysis.tables table=TABLE [sweep=NAME] [KEY=VALUE …]

  table     {", ".join(_TABLES)}; list tells what they are
{RUN_USAGE}
  figure    where to draw it, without a suffix: few_shot and ordinality have one
{FORMAT_USAGE}

Runs find their cells by their settings: prompt, what is trained, subset. Other data, towers or schedules than the
paper's are told below the table; cells without runs are empty. `analysis/published.csv` has the command of each cell.

Examples
  python -m analysis.tables table=few_shot sweep=few_shot figure=few_shot
  python -m analysis.tables table=main format=latex out=main"""


def main() -> None:
    """Entry point."""
    run_command(tables_command, _USAGE)


def tables_command(words: Sequence[str]) -> "PaperTable | None":
    """Makes the table that was typed, prints or writes it, draws its figure.

    Args:
        words: of the form key=value.

    Returns:
        The table; None for `table=list`.

    Raises:
        ConfigError: there is no such table, or runs that cannot stand in one cell.
    """
    typed = read_words(words)
    name = typed.get("table", "")
    if name == "list":
        width = max(map(len, _TABLES))
        print("\n".join(f"{table:{width}}  {what}" for table, what in _TABLES.items()))
        return None
    if name not in _TABLES:
        remedy = did_you_mean(name, _TABLES)
        raise ConfigError("table", name, "there is no such table", allowed=", ".join([*_TABLES, "list"]), remedy=remedy)
    if "figure" in typed and name not in _WITH_FIGURE:
        raise ConfigError("figure", typed["figure"], f"table={name} has none", allowed=", ".join(_WITH_FIGURE))
    from analysis.choose import choose_runs
    from analysis.paper_sheet import table_sheet
    from analysis.paper_table import paper_table
    from analysis.write import read_formats, write_sheets

    formats, out = read_formats(typed.get("format"), typed.get("out"))
    filters = {key: value for key, value in typed.items() if key not in _OURS}
    frame = choose_runs({key: typed[key] for key in RUN_WORDS if key in typed}, filters, runs_root())
    table = paper_table(name, frame)
    write_sheets([table_sheet(table)], formats, out)
    if "figure" in typed:
        for file in draw_figure(table, Path(typed["figure"])):
            print(f"written {file}", file=sys.stderr)
    return table


def draw_figure(table: "PaperTable", stem: Path) -> tuple[Path, Path]:
    """Draws the figure of a table of `few_shot` or `ordinality`; returns the PNG's and the SVG's path.

    Raises:
        ConfigError: none of its cells has runs with rank features.
    """
    import pandas as pd

    from analysis.ordinality_sheets import ordinality_frame
    from analysis.plots import few_shot_figure, spans_figure

    if table.name == "few_shot":
        return few_shot_figure(table, stem)
    if not table.ours:
        raise ConfigError("figure", stem, "no cell of the table has runs")
    parts = [ordinality_frame(found.runs).assign(row=row) for (row, _), found in table.ours.items()]
    return spans_figure(pd.concat(parts, ignore_index=True), stem, by="row")


if __name__ == "__main__":
    main()
