"""The path of rank features: where the ranks lie in the plane that shows most of how they differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ordinalclip.figures.canvas import COLUMN, EVEN, GREY, PAGE, canvas, colour_bar, save, styled
from ordinalclip.figures.point_names import name_points
from ordinalclip.figures.scale import Scale
from ordinalclip.figures.similarity import TITLES
from ordinalclip.metrics.similarity import Features, Matrix

_MOST_NAMES = 6


def principal_path(features_RD: Features) -> tuple[Matrix, Matrix]:
    """Unit-length rank features in the plane of their first two principal components.

    Returns:
        Coordinates [R, 2], the last rank at the right of the first; and each component's share of the variance [2].
    """
    features = np.asarray(features_RD, dtype=np.float64)
    unit_RD = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    centred_RD = unit_RD - unit_RD.mean(axis=0)
    left, spread, _ = np.linalg.svd(centred_RD, full_matrices=False)
    found = np.zeros((len(features), 2))
    width = min(2, len(spread))
    found[:, :width] = left[:, :width] * spread[:width]
    if found[0, 0] > found[-1, 0]:  # a component's sign means nothing
        found[:, 0] *= -1
    if found[len(found) // 2, 1] < 0:
        found[:, 1] *= -1
    shares = np.zeros(2)
    shares[:width] = spread[:width] ** 2 / max(float((spread**2).sum()), 1e-30)
    return found, shares


@styled
def path_figure(stages: Mapping[str, Features], scale: Scale, path_stem: Path) -> tuple[Path, Path]:
    """Draws a path for each stage's rank features [R, D], coloured by rank; each stage has axes of its own."""
    both = len(stages) > 1
    figure, panels = canvas(PAGE if both else COLUMN, 3.2, columns=len(stages))
    paths = []
    for panel, (stage, features_RD) in zip(panels, stages.items(), strict=True):
        path, shares = principal_path(features_RD)
        paths.append(path)
        panel.plot(path[:, 0], path[:, 1], color=GREY, linewidth=0.7, zorder=1)
        size = 28 if len(scale) <= 20 else 14
        points = panel.scatter(
            path[:, 0], path[:, 1], c=np.arange(len(path)), cmap=EVEN, s=size, zorder=2, linewidths=0
        )
        panel.margins(0.25)
        panel.set_title(TITLES[stage])
        panel.set_xlabel(f"first component ({shares[0]:.0%} of variance)")
        panel.set_ylabel(f"second component ({shares[1]:.0%})")
        panel.set_aspect("equal", adjustable="datalim")
        panel.locator_params(nbins=5)
    colour_bar(figure, points, panels[-1], scale.label("rank"))
    _name_colours(figure.axes[-1], scale)
    for panel, path in zip(panels, paths, strict=True):
        name_points(panel, path, {rank: scale.short(rank) for rank in scale.places(_MOST_NAMES)})
    return save(figure, path_stem)


def _name_colours(axis: object, scale: Scale) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axis, Axes)
    places = scale.places(6)
    axis.set_yticks(places, [scale.short(place) for place in places], parse_math=False)
