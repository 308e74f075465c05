"""Where the order of rank features is broken, and which neighbouring ranks are the wrong way round."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ordinalclip.figures.canvas import MISSING, PAGE, RED, SMALL, canvas, colour_bar, open_frame, save, styled
from ordinalclip.figures.scale import Scale
from ordinalclip.metrics.ordinality_adjusted import steps_away, violations
from ordinalclip.metrics.ordinality_pairs import shares_out_of_order
from ordinalclip.metrics.similarity import Features, Matrix, similarity


def violation_map(features_RD: Features) -> tuple[Matrix, Matrix]:
    """Where rank k is at least as similar to i as the neighbour of k on the side of i is.

    Returns:
        By how much, [R, R] over (i, k), nan where the order holds or nothing is counted; and for neighbours r and r+1
        the share of the other ranks that find them out of order [R-1].
    """
    similarity_RR = similarity(features_RD)
    rises_RR = np.where(violations(similarity_RR), np.maximum(steps_away(similarity_RR), 0), np.nan)
    return rises_RR, shares_out_of_order(similarity_RR)


@styled
def violations_figure(features_RD: Features, scale: Scale, path_stem: Path) -> tuple[Path, Path]:
    """Draws both for rank features [R, D]."""
    from matplotlib.colors import ListedColormap

    rises_RR, shares = violation_map(features_RD)
    num_ranks = len(rises_RR)
    figure, (panel, bars) = canvas(PAGE, 3.2, columns=2)
    counted = np.abs(np.subtract.outer(np.arange(num_ranks), np.arange(num_ranks))) >= 2
    panel.imshow(np.where(counted, 0.0, np.nan), cmap=ListedColormap([MISSING]), interpolation="nearest")
    broken = bool(np.isfinite(rises_RR).any())
    if broken:
        most = float(np.nanmax(rises_RR))
        image = panel.imshow(rises_RR, cmap="viridis_r", vmin=0, vmax=most or 1, interpolation="nearest")
        colour_bar(figure, image, panel, "rise of similarity")
    else:
        told = "no step\nout of order" if num_ranks > 2 else "two ranks:\nno step to judge"
        panel.text(0.5, 0.5, told, transform=panel.transAxes, ha="center", va="center", fontsize=SMALL)
    scale.along_x(panel, "rank stepped to", inches=2.0)
    scale.along_y(panel, "seen from rank")
    panel.set_title("steps that rise instead of fall")
    places = np.arange(num_ranks - 1) + 0.5
    bars.bar(places, np.nan_to_num(shares), width=0.8, color=RED)
    bars.set_xlim(-0.5, num_ranks - 0.5)
    bars.set_ylim(0, 1)
    bars.set_ylabel("share of the other ranks")
    bars.set_title("neighbours out of order")
    scale.along_x(bars, "between ranks", inches=2.6)
    open_frame(bars)
    return save(figure, path_stem)
