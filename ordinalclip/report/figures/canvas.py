"""What all figures share: canvases (no global state is set), sizes, fonts, colours, files, and the axis of ranks."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:  # imported inside, since matplotlib takes half a second that most commands do without
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLUMN, PAGE = 3.3, 6.9  # inches: a column's and a page's width in print
SMALL, MEDIUM = 8, 9  # font sizes in points, at that width
EVEN = "viridis"  # perceptually even, also to colour-blind readers and in grey
# Okabe and Ito's colours, which colour-blind readers can distinguish.
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
    "svg.hashsalt": "ordinalclip",  # equal figures are equal files
}


P = ParamSpec("P")
T = TypeVar("T")

_NAME_WIDTH, _NAME_LINES = 16, 2
_FITS_BELOW = 15  # characters, about, in an inch of 8 points
_ONE_LINE = 18  # letters of a name that must not be folded
_TURNED_APART = 0.19  # inches between such names, so that none touches the next
_LINE, _LETTER = 0.14, 0.067  # inches: height of a line of 8 points, width of a wide letter
_MOST_LABELS = 11


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Has a function draw in these fonts and line widths, and leaves matplotlib's own settings as they were."""

    @wraps(draw)
    def draw_styled(*args: P.args, **kwargs: P.kwargs) -> T:
        import matplotlib as mpl

        with mpl.rc_context(_RC):
            return draw(*args, **kwargs)

    return draw_styled


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, **grid: Any) -> tuple[Figure, list[Axes]]:
    """A figure of this many inches with a grid of panels, row by row.

    Args:
        width: `COLUMN` or `PAGE`.
        height: in inches.
        rows: of panels.
        columns: of panels.
        **grid: as `matplotlib.figure.Figure.subplots` takes it, such as `width_ratios` or `sharey`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = np.atleast_1d(figure.subplots(rows, columns, **grid))
    return figure, list(panels.flat)


def blank(width: float, height: float) -> Figure:
    """A figure without panels, which whoever draws places: laying out many takes seconds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def open_frame(panel: Axes) -> None:
    """Leaves a panel its left and lower side."""
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def colour_bar(figure: Figure, image: Any, panel: Axes, label: str) -> None:
    """A colour scale at the right of a panel, as high as it is."""
    bar = figure.colorbar(image, ax=panel, fraction=0.06, pad=0.02, aspect=18)
    bar.set_label(label, fontsize=MEDIUM)
    bar.ax.tick_params(labelsize=SMALL, width=0.5, length=2.5)
    bar.outline.set_linewidth(0.5)


def save(figure: Figure, path_stem: Path, *, dpi: int = 300) -> tuple[Path, Path]:
    """Writes a figure as PNG, with so many dots an inch, and as SVG.

    Returns:
        Their paths.
    """
    path_stem.parent.mkdir(parents=True, exist_ok=True)
    png, svg = (path_stem.with_name(f"{path_stem.name}.{suffix}") for suffix in ("png", "svg"))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once is enough for both
    figure.savefig(png, dpi=dpi, pil_kwargs={"compress_level": 4})
    figure.savefig(svg, dpi=dpi, metadata={"Date": None})
    return png, svg


@dataclass(frozen=True)
class Scale:
    """Names of the R ranks, and the unit of their values.

    Attributes:
        names: one a rank.
        unit: of the values, such as "year"; shown where the names are numbers.
    """

    names: Sequence[str]
    unit: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def label(self, what: str) -> str:
        """`what` with the unit behind it, where the ranks' names are numbers: "true rank (year)"."""
        return f"{what} ({self.unit})" if self.unit and all(map(_is_number, self.names)) else what

    def places(self, most: int = _MOST_LABELS) -> list[int]:
        """Ranks to label: all while they are few, else every 2nd, 5th, 10th, … from the first one on."""
        steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
        step = next(step for step in steps if (len(self) - 1) // step < most)
        return list(range(0, len(self), step))

    def short(self, rank: int) -> str:
        """A rank's name, folded and cut to what fits beside an axis."""
        lines = textwrap.wrap(
            self.names[rank], _NAME_WIDTH, max_lines=_NAME_LINES, placeholder="…", break_on_hyphens=False
        )
        return "\n".join(lines)

    def along_x(self, panel: Axes, what: str, *, inches: float, most: int = _MOST_LABELS, beside: bool = False) -> None:
        """Labels a horizontal axis of ranks.

        Args:
            panel: with that axis.
            what: the axis is called.
            inches: its length.
            most: labels.
            beside: another panel is at its left: rotated names are upright, to stay below their own.
        """
        places, names, turned = self._below(inches, most)
        panel.set_xticks(places, names, parse_math=False)  # a `$` in a name is money, not mathematics
        if turned:
            for label in panel.get_xticklabels():
                angle, across = (90, "center") if beside else (45, "center_baseline")
                label.set(rotation=angle, ha="right", va=across, rotation_mode="anchor")
        panel.set_xlabel(self.label(what))

    def height_below(self, *, inches: float, most: int = _MOST_LABELS) -> float:
        """Inches, about, that names below an axis `beside` another take: room that its figure has to have."""
        _, names, turned = self._below(inches, most)
        if turned:
            return max(map(len, names)) * _LETTER
        return _LINE * max(len(name.splitlines()) for name in names)

    def _below(self, inches: float, most: int) -> tuple[list[int], list[str], bool]:
        """Which ranks are named below an axis, how, and whether the names are turned: side by side they don't fit."""
        # Fewer numbers say as much; of names none is left out before they are turned.
        for number in range(most, 1, -1) if all(map(_is_number, self.names)) else [most]:
            places = self.places(number)
            names = [self.short(place) for place in places]
            if sum(max(map(len, name.splitlines()), default=0) + 1 for name in names) <= _FITS_BELOW * inches:
                return places, names, False
        places = self.places(max(2, min(most, int(inches / _TURNED_APART))))
        return places, [cut(self.names[place]) for place in places], True

    def along_y(self, panel: Axes, what: str, *, most: int = _MOST_LABELS) -> None:
        """Labels a vertical axis of ranks."""
        places = self.places(most)
        panel.set_yticks(places, [self.short(place) for place in places], parse_math=False)
        panel.set_ylabel(self.label(what))


def cut(name: str, width: int = _ONE_LINE) -> str:
    """A name on one line, of so many letters at most."""
    return name if len(name) <= width else f"{name[: width - 1].rstrip()}…"


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True
