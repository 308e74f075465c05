"""What the model says of some test images: their probabilities along the scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ordinalclip.figures.canvas import BLUE, GREY, PAGE, RED, canvas, open_frame, save, styled
from ordinalclip.figures.scale import Scale
from ordinalclip.metrics.similarity import Matrix

MOST_SAMPLES, _COLUMNS = 8, 4
_INCHES = 1.3  # of a panel
_FEW_RANKS = 20  # bars up to here, an area beyond


def typical_images(rank_N: npt.NDArray[np.integer], predicted_N: Matrix) -> list[int]:
    """Rows of up to eight images, of ranks spread over the scale: of each rank the one whose error is its median."""
    present = np.unique(rank_N)
    chosen = present[np.unique(np.linspace(0, len(present) - 1, MOST_SAMPLES).round().astype(int))]
    rows = []
    for rank in chosen:
        of_rank = np.flatnonzero(rank_N == rank)
        order = np.argsort(np.abs(predicted_N[of_rank] - rank), kind="stable")
        rows.append(int(of_rank[order[(len(order) - 1) // 2]]))
    return rows


@styled
def samples_figure(
    probs_NR: Matrix,
    rank_N: npt.NDArray[np.integer],
    predicted_N: Matrix,
    scale: Scale,
    path_stem: Path,
) -> tuple[Path, Path]:
    """Draws the probabilities of typical images.

    Args:
        probs_NR: of the test images.
        rank_N: their true ranks.
        predicted_N: their declared readout, in ranks.
        scale: the R ranks.
        path_stem: where to, without a suffix.
    """
    rows = typical_images(rank_N, predicted_N)
    lines = -(-len(rows) // _COLUMNS)
    named_lines = 2 if len(rows) % _COLUMNS and lines > 1 else 1
    names = named_lines * (scale.height_below(inches=_INCHES, most=5) - 0.14)  # what long names take more
    figure, panels = canvas(PAGE, 0.5 + 1.45 * lines + names, lines, _COLUMNS, sharey=True, sharex=True)
    top = float(probs_NR[rows].max()) * 1.08
    for panel, row in zip(panels, rows, strict=False):
        draw_probabilities(panel, probs_NR[row], int(rank_N[row]), float(predicted_N[row]))
        panel.set_ylim(0, top)
        panel.set_title(f"true: {scale.short(int(rank_N[row]))}", parse_math=False)
        panel.locator_params(axis="y", nbins=3)
        open_frame(panel)
        scale.along_x(panel, "rank", inches=_INCHES, most=5, beside=True)
    for panel in panels[len(rows) :]:
        panel.set_axis_off()
    for place, panel in enumerate(panels[: len(rows)]):
        panel.label_outer()
        if place + _COLUMNS < len(rows):
            panel.set_xlabel("")
    for panel in panels[: len(rows) : _COLUMNS]:
        panel.set_ylabel("probability")
    if len(rows) % _COLUMNS and lines > 1:  # no panel below: these have ticks of their own
        for panel in panels[len(rows) - _COLUMNS : (lines - 1) * _COLUMNS]:
            panel.tick_params(labelbottom=True)
            scale.along_x(panel, "rank", inches=_INCHES, most=5, beside=True)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return save(figure, path_stem)


def draw_probabilities(panel: object, probs_R: Matrix, rank: int, predicted: float) -> None:
    """Draws one image's distribution [R], its true rank and the readout of the prediction into a panel."""
    from matplotlib.axes import Axes

    assert isinstance(panel, Axes)
    ranks = np.arange(len(probs_R))
    if len(probs_R) <= _FEW_RANKS:
        panel.bar(ranks, probs_R, width=0.8, color=BLUE)
    else:
        panel.fill_between(ranks, probs_R, step="mid", color=BLUE, linewidth=0)
    panel.axvline(rank, color=GREY, linewidth=1.2, linestyle=(0, (3, 1.5)), label="true rank")
    at_top = panel.get_xaxis_transform()
    panel.plot([predicted], [0.97], "v", markersize=5, color=RED, transform=at_top, label="predicted")
    panel.set_xlim(-0.6, len(probs_R) - 0.4)
