"""Which ranks are taken for which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ordinalclip.figures.canvas import COLUMN, EVEN, MISSING, PAGE, SMALL, canvas, colour_bar, save, styled
from ordinalclip.figures.scale import Scale
from ordinalclip.metrics.similarity import Matrix

_MOST_RANKS_WITH_NUMBERS = 12


def confusion_counts(
    rank_N: npt.NDArray[np.integer], predicted_N: npt.NDArray[np.integer], num_ranks: int
) -> npt.NDArray[np.int64]:
    """Numbers of images [R, R], true rank by predicted rank."""
    counts_RR = np.zeros((num_ranks, num_ranks), dtype=np.int64)
    np.add.at(counts_RR, (rank_N, predicted_N), 1)
    return counts_RR


def shares_of_rows(counts_RR: npt.NDArray[np.integer]) -> Matrix:
    """Of each true rank, the share that was given each rank [R, R]; nan where a rank has no images."""
    totals = counts_RR.sum(axis=1, keepdims=True)
    return np.divide(counts_RR, totals, out=np.full(counts_RR.shape, np.nan), where=totals > 0)


@styled
def confusion_figure(
    counts_RR: npt.NDArray[np.integer], scale: Scale, path_stem: Path, *, readout: str
) -> tuple[Path, Path]:
    """Draws the shares of each row, and the counts where there is room for them.

    Args:
        counts_RR: number of images [R, R], true rank by predicted rank.
        scale: the R ranks.
        path_stem: where to, without a suffix.
        readout: what the predicted ranks are.
    """
    numbers = len(scale) <= _MOST_RANKS_WITH_NUMBERS
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
