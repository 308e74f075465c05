"""What of a figure's words cannot be read: those cut off at its edge, and those that lie on each other."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.text import Text

_PIXELS = 2.0  # that letters' boxes may overlap, which are larger than the letters


def illegible(figure: Figure) -> list[str]:
    """A line for each cut word and each pair of words on each other, of a figure that has been drawn."""
    hidden = _not_drawn(figure)
    texts: list[Any] = figure.findobj(Text)
    words = [text for text in texts if text.get_visible() and text.get_text().strip() and id(text) not in hidden]
    corners = {id(text): _corners(text) for text in words}
    width, height = figure.bbox.width, figure.bbox.height
    found = []
    for text in words:
        x, y = corners[id(text)].T
        if min(x.min(), y.min(), width - x.max(), height - y.max()) < -_PIXELS:
            found.append(f"cut: {text.get_text()!r}")
    for one, other in itertools.combinations(words, 2):
        if _depth(corners[id(one)], corners[id(other)]) > _PIXELS:
            found.append(f"on each other: {one.get_text()!r}, {other.get_text()!r}")
    return found


def _not_drawn(figure: Figure) -> set[int]:
    """Ids of words that figures keep and do not draw: of panels without axes, and of ticks beyond their limits."""
    found: set[int] = set()
    for panel in figure.axes:
        for axis in (panel.xaxis, panel.yaxis):
            low, high = sorted(axis.get_view_interval())
            margin = 1e-6 * (high - low)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not (panel.axison and low - margin <= tick.get_loc() <= high + margin):
                    found |= {id(tick.label1), id(tick.label2)}
            if not panel.axison:
                found.add(id(axis.label))
    return found


def _corners(text: Text) -> npt.NDArray[np.floating]:
    """Corners [4, 2] of a text's box in pixels, turned as the text is."""
    angle, mode = text.get_rotation(), text.get_rotation_mode()
    if angle % 90 == 0 or mode != "anchor":
        return np.asarray(text.get_window_extent().corners())[[0, 1, 3, 2]]
    anchor = text.get_transform().transform(text.get_unitless_position())
    text.set_rotation(0)
    flat = np.asarray(text.get_window_extent().corners())[[0, 1, 3, 2]]
    text.set_rotation(angle)
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return anchor + (flat - anchor) @ np.array([[cos, sin], [-sin, cos]])


def _depth(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> float:
    """How far two convex shapes overlap, by the separating axis theorem; 0 or less: not at all."""
    sides: list[Any] = [shape[1] - shape[0] for shape in (one, other)] + [shape[3] - shape[0] for shape in (one, other)]
    depths = []
    for side in sides:
        normal = np.array([-side[1], side[0]]) / max(float(np.hypot(*side)), 1e-9)
        a, b = one @ normal, other @ normal
        depths.append(min(a.max(), b.max()) - max(a.min(), b.min()))
    return float(min(depths))
