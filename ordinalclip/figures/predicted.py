"""Predicted against true rank: the readout's spread at each rank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ordinalclip.figures.canvas import BLUE, COLUMN, GREY, SKY, canvas, save, styled
from ordinalclip.figures.scale import Scale
from ordinalclip.metrics.similarity import Matrix

_POINTS = 4000  # more tell nothing more


def bands(rank_N: npt.NDArray[np.integer], predicted_N: Matrix, num_ranks: int) -> Matrix:
    """10 %, 50 % and 90 % quantile of the predictions of each true rank's images [3, R]; nan for a rank without."""
    found = np.full((3, num_ranks), np.nan)
    for rank in np.unique(rank_N):
        found[:, rank] = np.quantile(predicted_N[rank_N == rank], (0.1, 0.5, 0.9))
    return found


@styled
def predicted_figure(
    rank_N: npt.NDArray[np.integer], predicted_N: Matrix, scale: Scale, path_stem: Path, *, readout: str
) -> tuple[Path, Path]:
    """Draws every image, moved a little sideways, with the band that holds 80 % of a rank's predictions.

    Args:
        rank_N: true ranks.
        predicted_N: the readout, in ranks.
        scale: the R ranks.
        path_stem: where to, without a suffix.
        readout: its name.
    """
    figure, (panel,) = canvas(COLUMN, 3.3)
    rng = np.random.default_rng(0)
    rows = np.arange(len(rank_N)) if len(rank_N) <= _POINTS else rng.choice(len(rank_N), _POINTS, replace=False)
    aside = rng.uniform(-0.3, 0.3, len(rows))
    low, middle, high = bands(rank_N, predicted_N, len(scale))
    places = np.arange(len(scale))
    panel.plot([0, len(scale) - 1], [0, len(scale) - 1], color=GREY, linewidth=0.8, linestyle="--", label="right")
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
