"""How large the error is at each rank, and how many images it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ordinalclip.figures.canvas import BLUE, COLUMN, GREY, ORANGE, PAGE, canvas, open_frame, save, styled
from ordinalclip.figures.scale import Scale


@styled
def rank_error_figure(
    ranks: Mapping[str, Any], scale: Scale, path_stem: Path, *, constant: float | None
) -> tuple[Path, Path]:
    """Draws the MAE of each true rank over its number of test images.

    Args:
        ranks: `count`, `mae` and `bias`, [R] each, None where a rank has no images; of `test_details.json`.
        scale: the R ranks.
        path_stem: where to, without a suffix.
        constant: rank that the constant predictor says, whose error is drawn beside it; None: it is not known.
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
        panel.plot(places, np.abs(places - constant), color=GREY, linewidth=0.9, linestyle=":", label="constant's MAE")
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
