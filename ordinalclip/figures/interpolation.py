"""How much each base rank contributes to each rank of a rank prompt."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ordinalclip.figures.canvas import COLUMN, EVEN, canvas, open_frame, save, styled
from ordinalclip.figures.scale import Scale
from ordinalclip.metrics.similarity import Matrix


@styled
def interpolation_figure(weights_RK: Matrix, scale: Scale, path_stem: Path) -> tuple[Path, Path]:
    """Draws a line for each of the K base ranks from weights [R, K] whose rows sum to 1."""
    import matplotlib as mpl

    figure, (panel,) = canvas(COLUMN, 2.6)
    num_base_ranks = weights_RK.shape[1]
    colours = mpl.colormaps[EVEN](np.linspace(0, 0.9, num_base_ranks))
    for base, colour in enumerate(colours):
        marker = "o" if len(scale) <= 12 else ""
        label = f"base rank {base + 1}" if num_base_ranks <= 6 or base in (0, num_base_ranks - 1) else None
        panel.plot(weights_RK[:, base], color=colour, marker=marker, markersize=3, label=label)
    panel.set_ylim(0, 1.02)
    panel.set_ylabel("weight")
    scale.along_x(panel, "rank", inches=2.7)
    open_frame(panel)
    figure.legend(loc="outside upper center", ncols=min(3, num_base_ranks), handlelength=1.2, columnspacing=1.0)
    return save(figure, path_stem)
