"""The figures of the paper from a sweep's runs, the published curves beside ours."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.choose import FORMAT_USAGE, RUN_USAGE, RUN_WORDS, read_words, runs_root
from analysis.paper_table import PaperTable
from ordinalclip.cli.command import run_command
from ordinalclip.config.signatures import did_you_mean
from ordinalclip.errors import ConfigError

if TYPE_CHECKING:  # help does without tables
    from analysis.paper_table import PaperTable


# Okabe and Ito's colours, told apart by colour-blind readers; each has a marker of its own besides.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "os^Dv<>"


def few_shot_figure(table: PaperTable, stem: Path) -> tuple[Path, Path]:
    """Draws MAE over training images of each rank: ours with ± a standard deviation, the published curves dashed.

    Args:
        table: few_shot, with our runs in it.
        stem: where to, without a suffix.

    Returns:
        The PNG's and the SVG's path.
    """
    figure, panel = _canvas(5.2, 3.6)
    shots = {column: int(column.split(" ")[0]) for column in table.columns}
    for number, row in enumerate(table.rows):
        style: dict[str, Any] = {"color": _COLOURS[number % 7], "marker": _MARKERS[number % 7], "markersize": 4}
        known = [(shots[c], table.published[row, c].value) for c in table.columns if (row, c) in table.published]
        if known:
            panel.plot(
                *zip(*known, strict=True), linestyle="--", linewidth=1, alpha=0.6, label=f"{row}, published", **style
            )
        own = [(shots[c], table.ours[row, c].scores) for c in table.columns if (row, c) in table.ours]
        if own:
            means = [values.mean() for _, values in own]
            spread = [values.std(ddof=1) if len(values) > 1 else 0.0 for _, values in own]
            panel.errorbar([x for x, _ in own], means, spread, linewidth=1.6, capsize=2, label=f"{row}, ours", **style)
    panel.set_xscale("log", base=2)
    panel.set_xticks(list(shots.values()), [str(value) for value in shots.values()])
    panel.set_xlabel("training images of each rank")
    panel.set_ylabel("MAE (ranks)")
    return _save(figure, panel, stem)


def spans_figure(scores: pd.DataFrame, stem: Path, by: str = "prompt.name") -> tuple[Path, Path]:
    """Draws the paper's ordinality by span before training and at the best epoch, with what chance gives.

    Args:
        scores: of runs with one number of ranks, from `analysis.ordinality.ordinality_frame`.
        stem: where to, without a suffix.
        by: column that names the curves, each the mean over its runs.

    Returns:
        The PNG's and the SVG's path.
    """
    figure, panel = _canvas(5.2, 3.6)
    words = [str(name).removeprefix("span_") for name in scores if str(name).startswith("span_")]
    spans = sorted(int(word) for word in words if word.isdigit())
    places = np.arange(len(spans))
    for number, (name, part) in enumerate(scores.groupby(by)):
        for stage, line in (("before", ":"), ("best", "-")):
            runs = part[part["stage"] == stage]
            if runs.empty:
                continue
            means = [float(runs[f"span_{span}"].mean()) for span in spans]
            label = f"{name}, {'before training' if stage == 'before' else 'trained'}"
            panel.plot(
                places, means, line, color=_COLOURS[number % 7], marker=_MARKERS[number % 7], markersize=4, label=label
            )
    chance = [float(scores[f"span_{span}_chance"].iloc[0]) for span in spans]
    panel.plot(places, chance, color="0.6", linewidth=1, label="by chance")
    panel.set_xticks(places, [*map(str, spans[:-1]), "all"])
    panel.set_xlabel("pairs of ranks less than … apart")
    panel.set_ylabel("ordinality (share in order)")
    return _save(figure, panel, stem)


def _canvas(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")  # inches
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _save(figure: Any, panel: Any, stem: Path) -> tuple[Path, Path]:
    panel.grid(alpha=0.25, linewidth=0.5)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    panel.legend(fontsize=8, frameon=False)
    stem.parent.mkdir(parents=True, exist_ok=True)
    png, svg = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    figure.savefig(png, dpi=200)
    figure.savefig(svg, metadata={"Date": None})
    return png, svg


# MERGED: """`python -m analysis.tables`: the paper's tables and figures from runs, the published numbers beside ours."""


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
    from analysis.paper_table import paper_table, table_sheet
    from analysis.sheets import read_formats, write_sheets

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

    from analysis.ordinality import ordinality_frame

    if table.name == "few_shot":
        return few_shot_figure(table, stem)
    if not table.ours:
        raise ConfigError("figure", stem, "no cell of the table has runs")
    parts = [ordinality_frame(found.runs).assign(row=row) for (row, _), found in table.ours.items()]
    return spans_figure(pd.concat(parts, ignore_index=True), stem, by="row")


if __name__ == "__main__":
    main()
