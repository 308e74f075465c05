"""Figures of predictions: confusion of ranks, predicted against true rank, and the error at each rank."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ordinalclip.metrics.ordinality import Matrix
from ordinalclip.report.figures.canvas import (
    BLUE,
    COLUMN,
    EVEN,
    GREY,
    MISSING,
    ORANGE,
    PAGE,
    SKY,
    SMALL,
    Scale,
    canvas,
    colour_bar,
    open_frame,
    save,
    styled,
)

_MAX_RANKS_WITH_COUNTS = 12
_MAX_POINTS = 4000


def confusion_counts(
    rank_N: npt.NDArray[np.integer], predicted_N: npt.NDArray[np.integer], num_ranks: int
) -> npt.NDArray[np.int64]:
    """Returns the number of images [R, R] of each true rank (rows) and predicted rank (columns)."""
    counts_RR = np.zeros((num_ranks, num_ranks), dtype=np.int64)
    np.add.at(counts_RR, (rank_N, predicted_N), 1)
    return counts_RR


def shares_of_rows(counts_RR: npt.NDArray[np.integer]) -> Matrix:
    """Returns the share of each true rank's images by predicted rank [R, R]; nan in rows of ranks without images."""
    totals = counts_RR.sum(axis=1, keepdims=True)
    return np.divide(counts_RR, totals, out=np.full(counts_RR.shape, np.nan), where=totals > 0)


@styled
def confusion_figure(
    counts_RR: npt.NDArray[np.integer], scale: Scale, path_stem: Path, *, readout: str
) -> tuple[Path, Path]:
    """Draws the shares of each row, and the counts if there are at most 12 ranks.

    Args:
        counts_RR: Number of images [R, R] by true and predicted rank.
        scale: The R ranks.
        path_stem: Output path without suffix.
        readout: Name of the readout of the predicted ranks.
    """
    numbers = len(scale) <= _MAX_RANKS_WITH_COUNTS
    wide = len(scale) > 5
    figure, (panel,) = canvas(PAGE * 0.8 if wide else COLUMN, 4.1 if wide else 2.55)
    shares = shares_of_rows(counts_RR)
    most = float(np.nanmax(shares, initial=0)) or 1.0
    panel.set_facecolor(MISSING)
    image = panel.imshow(shares, cmap=EVEN, vmin=0, vmax=most, interpolation="nearest")
    if numbers:
        for (row, column), count in np.ndenumerate(counts_RR):
            shade = "black" if shares[row, column] > 0.6 * most or np.isnan(shares[row, column]) else "white"
            panel.text(column, row, f"{count}", ha="center", va="center", fontsize=SMALL, color=shade)
    scale.along_x(panel, f"predicted rank, {readout}", inches=3.3 if wide else 1.9)
    scale.along_y(panel, "true rank")
    colour_bar(figure, image, panel, "share of the true rank")
    return save(figure, path_stem)


def bands(rank_N: npt.NDArray[np.integer], predicted_N: Matrix, num_ranks: int) -> Matrix:
    """Returns 10 %, 50 % and 90 % quantiles of the predictions by true rank [3, R]; nan for ranks without images."""
    found = np.full((3, num_ranks), np.nan)
    for rank in np.unique(rank_N):
        found[:, rank] = np.quantile(predicted_N[rank_N == rank], (0.1, 0.5, 0.9))
    return found


@styled
def predicted_figure(
    rank_N: npt.NDArray[np.integer], predicted_N: Matrix, scale: Scale, path_stem: Path, *, readout: str
) -> tuple[Path, Path]:
    """Draws a point per image, with horizontal jitter, and the median and central 80 % of the predictions of each rank.

    Args:
        rank_N: True ranks.
        predicted_N: Predictions in ranks.
        scale: The R ranks.
        path_stem: Output path without suffix.
        readout: Name of the readout of the predictions.
    """
    figure, (panel,) = canvas(COLUMN, 3.3)
    rng = np.random.default_rng(0)
    rows = np.arange(len(rank_N)) if len(rank_N) <= _MAX_POINTS else rng.choice(len(rank_N), _MAX_POINTS, replace=False)
    aside = rng.uniform(-0.3, 0.3, len(rows))
    low, middle, high = bands(rank_N, predicted_N, len(scale))
    places = np.arange(len(scale))
    panel.plot([0, len(scale) - 1], [0, len(scale) - 1], color=GREY, linewidth=0.8, linestyle="--", label="correct")
    size = 5 if len(rows) < 1500 else 2
    panel.scatter(rank_N[rows] + aside, predicted_N[rows], s=size, color=SKY, alpha=0.5, linewidths=0, rasterized=True)
    known = np.isfinite(middle)
    if len(scale) <= 12:
        reach = np.stack([middle - low, high - middle])[:, known]
        panel.errorbar(
            places[known], middle[known], reach, color=BLUE, fmt="o", markersize=4, capsize=3, label="median, 80 %"
        )
    else:
        panel.plot(places[known], middle[known], color=BLUE, label="median, 80 %")
        panel.fill_between(places[known], low[known], high[known], color=BLUE, alpha=0.2, linewidth=0)
    panel.set_xlim(-0.6, len(scale) - 0.4)
    panel.set_ylim(-0.6, len(scale) - 0.4)
    panel.set_aspect("equal")
    scale.along_x(panel, "true rank", inches=2.4)
    scale.along_y(panel, f"predicted rank, {readout}")
    figure.legend(loc="outside upper center", ncols=2)
    return save(figure, path_stem)


@styled
def rank_error_figure(
    ranks: Mapping[str, Any], scale: Scale, path_stem: Path, *, constant: float | None
) -> tuple[Path, Path]:
    """Draws MAE and bias of each true rank above its number of test images.

    Args:
        ranks: `count`, `mae` and `bias` of `test_details.json`, [R] each, None for ranks without images.
        scale: The R ranks.
        path_stem: Output path without suffix.
        constant: Rank of the constant predictor, whose error is drawn too; None if unknown.
    """
    mae, bias = (np.array(ranks[name], dtype=float) for name in ("mae", "bias"))  # None is nan
    count = np.asarray(ranks["count"])
    wide = len(scale) > 12
    places = np.arange(len(scale))
    figure, (panel, below) = canvas(PAGE if wide else COLUMN, 3.0, rows=2, sharex=True, height_ratios=(3, 1))
    marker = "" if wide else "o"
    panel.plot(places, mae, color=BLUE, marker=marker, markersize=3.5, label="MAE")
    panel.plot(places, bias, color=ORANGE, marker=marker, markersize=3.5, linestyle="--", label="bias")
    if constant is not None:
        panel.plot(places, np.abs(places - constant), color=GREY, linewidth=0.9, linestyle=":", label="constant")
    panel.axhline(0, color="black", linewidth=0.4)
    panel.set_ylabel("ranks")
    figure.legend(loc="outside upper center", ncols=3, handlelength=1.6, columnspacing=1.0)
    below.bar(places, count, width=0.8 if not wide else 1.0, color=GREY)
    below.set_ylabel("images")
    below.locator_params(axis="y", nbins=3, integer=True)
    below.set_xlim(-0.6, len(scale) - 0.4)
    scale.along_x(below, "true rank", inches=6.0 if wide else 2.6)
    for one in (panel, below):
        open_frame(one)
    figure.align_ylabels()
    return save(figure, path_stem)
