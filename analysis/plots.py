"""The figures of the paper from a sweep's runs, the published curves beside ours."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

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
        scores: of runs with one number of ranks, from `analysis.ordinality_sheets.ordinality_frame`.
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
