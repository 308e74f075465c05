"""Names beside points: each where it covers neither a point nor another name nor the frame, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ordinalclip.figures.canvas import SMALL
from ordinalclip.metrics.similarity import Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AWAY = 6  # points between a point and its name
# Where a name is tried, as (right, up): level with the point it is read best.
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
_HORIZONTAL = {1: "left", 0: "center", -1: "right"}
_VERTICAL = {1: "bottom", 0: "center", -1: "top"}


def name_points(panel: Axes, places: Matrix, names: Mapping[int, str]) -> None:
    """Writes names into a panel whose limits are final; those of the first and the last point are placed first.

    Args:
        panel: of a figure that is laid out here, so that the names' sizes are known.
        places: of all points, in the panel's data [N, 2].
        names: number of a point → its name; what finds no place is left to the colour scale.
    """
    panel.figure.draw_without_rendering()  # type: ignore[union-attr]
    points = panel.transData.transform(places)
    frame = panel.get_window_extent()
    taken: list[Any] = []
    for number in sorted(names, key=lambda one: min(one, len(places) - 1 - one)):
        for right, up in _SIDES:
            name = panel.annotate(
                names[number],
                tuple(places[number]),
                (_AWAY * right, _AWAY * up),
                textcoords="offset points",
                fontsize=SMALL,
                ha=_HORIZONTAL[right],
                va=_VERTICAL[up],
                parse_math=False,
            )
            box = name.get_window_extent()
            inside = frame.containsx(box.x0) and frame.containsx(box.x1) and frame.containsy(box.y0)
            inside = inside and frame.containsy(box.y1)
            if inside and not _covers(box, points) and not any(box.overlaps(one) for one in taken):
                taken.append(box)
                break
            name.remove()


def _covers(box: Any, points: Matrix) -> bool:
    """Whether any of the points [N, 2], in pixels, or of the lines between them lies in a box."""
    steps = np.linspace(0, 1, 30)[:, None, None]
    along = (points[:-1] + steps * (points[1:] - points[:-1])).reshape(-1, 2)
    x, y = np.concatenate([points, along]).T
    return bool(((x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1)).any())
