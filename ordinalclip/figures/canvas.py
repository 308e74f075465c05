"""What all figures share: canvases of their own (nothing global is set), print sizes, fonts, colours, files."""

from __future__ import annotations

from collections.abc import Callable
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
# Okabe and Ito's colours, which colour-blind readers can tell apart.
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
