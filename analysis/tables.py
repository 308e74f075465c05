"""`python -m analysis.tables`: the paper's tables and figures from runs, with the published numbers beside ours."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.run_selection import FORMAT_USAGE, RUN_USAGE, RUN_WORDS, read_words, runs_root, select_runs
from ordinalclip.cli.command import run_command
from ordinalclip.errors import ConfigError, did_you_mean

if TYPE_CHECKING:  # imported by the functions that need them, so that --help is fast
    import pandas as pd

    from analysis.paper_table import PaperTable

# Okabe and Ito's colors, which color-blind readers can distinguish; each curve also has its own marker.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "os^Dv<>"
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
_OWN_KEYS = ("table", "figure", "format", "out", *RUN_WORDS)
_USAGE = f"""\
OrdinalCLIP fills the paper's tables with your runs, the published numbers beside them.

  python -m analysis.tables table=TABLE [sweep=NAME] [KEY=VALUE …]

  table     {", ".join(_TABLES)}; list describes them
{RUN_USAGE}
  figure    a file without its suffix: few_shot and ordinality have a figure
{FORMAT_USAGE}

A run belongs to a cell by its settings: prompt, what is trained, subset. Other data, towers or schedules than the
paper's are listed below the table; cells without runs are empty. `analysis/published.csv` has the command of each cell.

Examples
  python -m analysis.tables table=few_shot sweep=few_shot figure=few_shot
  python -m analysis.tables table=main format=latex out=main"""


def main() -> None:
    """Entry point."""
    run_command(tables_command, _USAGE)


def tables_command(words: Sequence[str]) -> "PaperTable | None":
    """Fills a table with runs, prints or writes it, and draws its figure.

    Args:
        words: of the form key=value.

    Returns:
        The table; None for `table=list`.

    Raises:
        ConfigError: if there is no such table, or the runs of a cell differ.
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
    from analysis.paper_table import paper_table, table_sheet
    from analysis.sheets import read_formats, write_sheets

    formats, out = read_formats(typed.get("format"), typed.get("out"))
    table = paper_table(name, select_runs(typed, runs_root(), _OWN_KEYS))
    write_sheets([table_sheet(table)], formats, out)
    if "figure" in typed:
        for file in draw_figure(table, Path(typed["figure"])):
            print(f"written {file}", file=sys.stderr)
    return table


def draw_figure(table: "PaperTable", stem: Path) -> tuple[Path, Path]:
    """Draws the figure of the table `few_shot` or `ordinality`; returns the paths of the PNG and the SVG.

    Raises:
        ConfigError: if no cell has runs, or none of them has rank features.
    """
    import pandas as pd

    from analysis.ordinality import ordinality_frame

    if table.name == "few_shot":
        return few_shot_figure(table, stem)
    if not table.ours:
        raise ConfigError("figure", stem, "no cell of the table has runs")
    parts = [ordinality_frame(found.runs).assign(row=row) for (row, _), found in table.ours.items()]
    return spans_figure(pd.concat(parts, ignore_index=True), stem, by="row")


def few_shot_figure(table: "PaperTable", stem: Path) -> tuple[Path, Path]:
    """Draws MAE by number of training images per rank: ours ± one standard deviation, the published curves dashed.

    Args:
        table: the table `few_shot`.
        stem: the file without its suffix.

    Returns:
        The paths of the PNG and the SVG.
    """
    figure, panel = _canvas(5.2, 3.6)
    shots = {column: int(column.split(" ")[0]) for column in table.columns}
    for number, row in enumerate(table.rows):
        style: dict[str, Any] = {"color": _COLORS[number % 7], "marker": _MARKERS[number % 7], "markersize": 4}
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


def spans_figure(scores: "pd.DataFrame", stem: Path, by: str = "prompt.name") -> tuple[Path, Path]:
    """Draws the paper's ordinality by span, before training and at the best epoch, and the score of random features.

    Args:
        scores: of runs with the same number of ranks, from `analysis.ordinality.ordinality_frame`.
        stem: the file without its suffix.
        by: column of the curves' names; each curve is the mean over its runs.

    Returns:
        The paths of the PNG and the SVG.
    """
    import numpy as np

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
                places, means, line, color=_COLORS[number % 7], marker=_MARKERS[number % 7], markersize=4, label=label
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


if __name__ == "__main__":
    main()
