"""Shared parts of all figures: canvas, sizes, fonts, colors, output files, and axes of ranks.

matplotlib is imported inside functions, because its import takes half a second. Its global settings stay unchanged.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLUMN, PAGE = 3.3, 6.9  # widths of a printed column and page in inches
SMALL, MEDIUM = 8, 9  # font sizes in points at these widths
EVEN = "viridis"  # perceptually uniform, also for color-blind readers and in grayscale
# Okabe and Ito's colors, which color-blind readers can distinguish.
BLUE, ORANGE, GREEN, RED, SKY, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#777777"
MISSING = "#e6e6e6"
_RC: Any = {
    "font.size": SMALL,
    "axes.titlesize": MEDIUM,
    "axes.labelsize": MEDIUM,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.linewidth": 0.5,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "svg.hashsalt": "ordinalclip",  # makes SVG files reproducible
}


P = ParamSpec("P")
T = TypeVar("T")

_NAME_WIDTH, _NAME_LINES = 16, 2
_CHARACTERS_PER_INCH = 15  # at 8 points
_MAX_ROTATED_LENGTH = 18  # characters of a rotated name, which is not wrapped
_ROTATED_SPACING = 0.19  # inches between rotated names
_LINE, _LETTER = 0.14, 0.067  # inches: height of a line at 8 points, width of a wide letter
_MAX_LABELS = 11


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Decorator: draws with the fonts and line widths of `_RC`; matplotlib's global settings are restored."""

    @wraps(draw)
    def draw_styled(*args: P.args, **kwargs: P.kwargs) -> T:
        import matplotlib as mpl

        with mpl.rc_context(_RC):
            return draw(*args, **kwargs)

    return draw_styled


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, **grid: Any) -> tuple[Figure, list[Axes]]:
    """Returns a figure with a grid of panels, and the panels row by row.

    Args:
        width: Width in inches, `COLUMN` or `PAGE`.
        height: Height in inches.
        rows: Rows of panels.
        columns: Columns of panels.
        **grid: Further arguments of `matplotlib.figure.Figure.subplots`, such as `width_ratios` or `sharey`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = np.atleast_1d(figure.subplots(rows, columns, **grid))
    return figure, list(panels.flat)


def blank(width: float, height: float) -> Figure:
    """Returns a figure without panels and without automatic layout, which takes seconds for many panels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def open_frame(panel: Axes) -> None:
    """Hides the upper and right spine of a panel."""
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def colour_bar(figure: Figure, image: Any, panel: Axes, label: str) -> None:
    """Adds a color bar at the right of a panel, of the same height."""
    bar = figure.colorbar(image, ax=panel, fraction=0.06, pad=0.02, aspect=18)
    bar.set_label(label, fontsize=MEDIUM)
    bar.ax.tick_params(labelsize=SMALL, width=0.5, length=2.5)
    bar.outline.set_linewidth(0.5)


def save(figure: Figure, path_stem: Path, *, dpi: int = 300) -> tuple[Path, Path]:
    """Writes a figure as PNG, with `dpi` dots per inch, and as SVG; returns both paths."""
    path_stem.parent.mkdir(parents=True, exist_ok=True)
    png, svg = (path_stem.with_name(f"{path_stem.name}.{suffix}") for suffix in ("png", "svg"))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is computed once for both files
    figure.savefig(png, dpi=dpi, pil_kwargs={"compress_level": 4})
    figure.savefig(svg, dpi=dpi, metadata={"Date": None})
    return png, svg


@dataclass(frozen=True)
class Scale:
    """Names of the R ranks, and the unit of their values.

    Attributes:
        names: Names of the ranks.
        unit: Unit of the values, such as "year"; shown if the names are numbers.
    """

    names: Sequence[str]
    unit: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def label(self, what: str) -> str:
        """Returns `what` followed by the unit if the ranks' names are numbers, such as "true rank (year)"."""
        return f"{what} ({self.unit})" if self.unit and all(map(_is_number, self.names)) else what

    def places(self, most: int = _MAX_LABELS) -> list[int]:
        """Returns the ranks to label, `most` at most: all, or every 2nd, 5th, 10th, … from the first one on."""
        steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
        step = next(step for step in steps if (len(self) - 1) // step < most)
        return list(range(0, len(self), step))

    def short(self, rank: int) -> str:
        """Returns a rank's name, wrapped and truncated to fit beside an axis."""
        lines = textwrap.wrap(
            self.names[rank], _NAME_WIDTH, max_lines=_NAME_LINES, placeholder="…", break_on_hyphens=False
        )
        return "\n".join(lines)

    def along_x(self, panel: Axes, what: str, *, inches: float, most: int = _MAX_LABELS, beside: bool = False) -> None:
        """Labels a horizontal axis of ranks.

        Args:
            panel: Panel with the axis.
            what: Name of the axis.
            inches: Length of the axis.
            most: Maximum number of labels.
            beside: Whether another panel is at its left. Rotated names are vertical then, to stay below their panel.
        """
        places, names, rotated = self._x_labels(inches, most)
        panel.set_xticks(places, names, parse_math=False)  # a `$` in a name is no mathematics
        if rotated:
            for label in panel.get_xticklabels():
                angle, across = (90, "center") if beside else (45, "center_baseline")
                label.set(rotation=angle, ha="right", va=across, rotation_mode="anchor")
        panel.set_xlabel(self.label(what))

    def height_below(self, *, inches: float, most: int = _MAX_LABELS) -> float:
        """Returns the approximate height in inches of the labels below an axis that is `beside` another."""
        _, names, rotated = self._x_labels(inches, most)
        if rotated:
            return max(map(len, names)) * _LETTER
        return _LINE * max(len(name.splitlines()) for name in names)

    def _x_labels(self, inches: float, most: int) -> tuple[list[int], list[str], bool]:
        """Returns the ranks to label on a horizontal axis, their labels, and whether these are rotated to fit."""
        # Numbers are thinned out before they are rotated, other names are not.
        for number in range(most, 1, -1) if all(map(_is_number, self.names)) else [most]:
            places = self.places(number)
            names = [self.short(place) for place in places]
            if sum(max(map(len, name.splitlines()), default=0) + 1 for name in names) <= _CHARACTERS_PER_INCH * inches:
                return places, names, False
        places = self.places(max(2, min(most, int(inches / _ROTATED_SPACING))))
        return places, [cut(self.names[place]) for place in places], True

    def along_y(self, panel: Axes, what: str, *, most: int = _MAX_LABELS) -> None:
        """Labels a vertical axis of ranks."""
        places = self.places(most)
        panel.set_yticks(places, [self.short(place) for place in places], parse_math=False)
        panel.set_ylabel(self.label(what))


def cut(name: str, width: int = _MAX_ROTATED_LENGTH) -> str:
    """Truncates a name to `width` characters."""
    return name if len(name) <= width else f"{name[: width - 1].rstrip()}…"


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True
