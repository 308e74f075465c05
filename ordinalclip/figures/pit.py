"""Histogram of the probability integral transform: is the true rank spread over the predicted distribution?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ordinalclip.figures.canvas import COLUMN, ORANGE, canvas, open_frame, save, styled


@styled
def pit_figure(pit: Mapping[str, Any], path_stem: Path) -> tuple[Path, Path]:
    """Draws the histogram of the probability integral transform: `edges`, `height` of `test_details.json`."""
    figure, (panel,) = canvas(COLUMN, 2.4)
    edges, height = np.asarray(pit["edges"]), np.asarray(pit["height"], dtype=float)
    panel.bar(edges[:-1], height, width=np.diff(edges), align="edge", color=ORANGE, edgecolor="white", linewidth=0.6)
    panel.axhline(1, color="black", linewidth=0.8, linestyle="--")
    panel.set(xlim=(0, 1), xlabel="P(rank < true) … P(rank ≤ true)", ylabel="density (1 = calibrated)")
    panel.set_ylim(0, max(1.2, float(height.max()) * 1.05))
    open_frame(panel)
    return save(figure, path_stem)
