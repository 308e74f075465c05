"""Pictures of a run, drawn on canvases of their own: nothing global is set, no window is opened."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # imported inside, since matplotlib takes half a second that most commands do without
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = "viridis"  # perceptually even, also to colour-blind readers and in grey
_SMALL, _MEDIUM = 7.5, 9  # font sizes in points
_NAME_WIDTH, _NAME_LINES = 16, 3
_FITS_BELOW = 40  # characters in small print below a panel
_MOST_LABELS = 11
_MOST_RANKS_WITH_NUMBERS = 12


def similarity_figure(
    before_RD: NDArray[np.floating] | None,
    after_RD: NDArray[np.floating],
    rank_names: Sequence[str],
    path_stem: Path,
    *,
    ordinality_before: float | None,
    ordinality_after: float,
) -> tuple[Path, Path]:
    """Draws the cosine similarity of every two ranks' features before and after training, on one colour scale.

    Ordered ranks show as a bright diagonal that fades evenly towards the corners.

    Args:
        before_RD: rank features before training [R, D]; their lengths do not matter. None where they are not known.
        after_RD: rank features after training [R, D].
        rank_names: one for each of the R ranks.
        path_stem: where to, without a suffix.
        ordinality_before: the ordinality of the first, for its title; None with it.
        ordinality_after: the ordinality of the second.

    Returns:
        The PNG's and the SVG's path.
    """
    shown = [("after training", _cosine(after_RD), ordinality_after)]
    if before_RD is not None and ordinality_before is not None:
        shown.insert(0, ("before training", _cosine(before_RD), ordinality_before))
    figure, panels = _canvas(0.4 + 3.4 * len(shown), 3.7, columns=len(shown))
    low, high = min(one.min() for _, one, _ in shown), max(one.max() for _, one, _ in shown)
    for panel, (title, one, ordinality) in zip(panels, shown, strict=True):
        image = panel.imshow(one, cmap=_COLOURS, vmin=low, vmax=high, interpolation="nearest")
        panel.set_title(f"{title}\nordinality {ordinality:.3f}", fontsize=_MEDIUM)
    _label_ranks(panels, rank_names)
    for panel in panels[1:]:
        panel.tick_params(labelleft=False)
    _colour_bar(figure, image, panels[-1], "cosine similarity")
    return _save(figure, path_stem)


def confusion_figure(
    counts_RR: NDArray[np.integer], rank_names: Sequence[str], path_stem: Path, *, title: str = ""
) -> tuple[Path, Path]:
    """Draws a confusion matrix: of each true rank (rows), the share that was given each rank (columns).

    Args:
        counts_RR: number of images [R, R], true rank by predicted rank.
        rank_names: one for each of the R ranks.
        path_stem: where to, without a suffix.
        title: such as "test, expectation".

    Returns:
        The PNG's and the SVG's path.
    """
    figure, (panel,) = _canvas(4.4, 3.8, columns=1)
    totals = counts_RR.sum(axis=1, keepdims=True)
    # A rank without images has no shares: its row stays blank.
    shares = np.divide(counts_RR, totals, out=np.full(counts_RR.shape, np.nan), where=totals > 0)
    most = float(np.nanmax(shares, initial=0))
    image = panel.imshow(shares, cmap=_COLOURS, vmin=0, vmax=most, interpolation="nearest")
    if len(shares) <= _MOST_RANKS_WITH_NUMBERS:
        for (row, column), count in np.ndenumerate(counts_RR):
            shade = "white" if shares[row, column] < 0.6 * most else "black"
            panel.text(column, row, f"{count}", ha="center", va="center", fontsize=_SMALL, color=shade)
    panel.set_title(title, fontsize=_MEDIUM)
    _label_ranks([panel], rank_names)
    panel.set_xlabel("predicted rank", fontsize=_MEDIUM)
    panel.set_ylabel("true rank", fontsize=_MEDIUM)
    _colour_bar(figure, image, panel, "share of the true rank")
    return _save(figure, path_stem)


def _cosine(features_RD: NDArray[np.floating]) -> NDArray[np.floating]:
    unit_RD = features_RD / np.linalg.norm(features_RD, axis=1, keepdims=True)
    return unit_RD @ unit_RD.T


def _canvas(width: float, height: float, *, columns: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")  # inches; 7.2 is a page's text width
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, columns, squeeze=False).flat)


def _label_ranks(panels: Sequence[Axes], rank_names: Sequence[str]) -> None:
    places = _label_places(len(rank_names))
    names = [_fold(rank_names[place]) for place in places]
    slanted = sum(max(map(len, name.splitlines()), default=0) + 1 for name in names) > _FITS_BELOW
    for panel in panels:
        # A `$` in a name is money, not mathematics.
        panel.set_xticks(places, names, fontsize=_SMALL, parse_math=False)
        panel.set_yticks(places, names, fontsize=_SMALL, parse_math=False)
        if slanted:
            for label in panel.get_xticklabels():
                label.set(rotation=45, ha="right", rotation_mode="anchor")


def _label_places(num_ranks: int) -> list[int]:
    """Ranks to label: all while they are few, else every 2nd, 5th, 10th, … from the first one on."""
    steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    step = next(step for step in steps if (num_ranks - 1) // step < _MOST_LABELS)
    return list(range(0, num_ranks, step))


def _fold(name: str) -> str:
    lines = textwrap.wrap(name, _NAME_WIDTH, max_lines=_NAME_LINES, placeholder="…", break_on_hyphens=False)
    return "\n".join(lines)


def _colour_bar(figure: Figure, image: Any, panel: Axes, label: str) -> None:
    bar = figure.colorbar(image, cax=panel.inset_axes((1.04, 0, 0.045, 1)))
    bar.set_label(label, fontsize=_MEDIUM)
    bar.ax.tick_params(labelsize=_SMALL, width=0.5, length=2.5)
    bar.ax.spines["outline"].set_linewidth(0.5)


def _save(figure: Figure, path_stem: Path) -> tuple[Path, Path]:
    path_stem.parent.mkdir(parents=True, exist_ok=True)
    png, svg = (path_stem.with_name(f"{path_stem.name}.{suffix}") for suffix in ("png", "svg"))
    for panel in figure.axes:
        panel.tick_params(width=0.5, length=2.5)
        for spine in panel.spines.values():
            spine.set_linewidth(0.5)
    # "tight": panels stay square, so that long names may reach past the canvas
    figure.savefig(png, dpi=300, bbox_inches="tight", pad_inches=0.03)
    figure.savefig(svg, dpi=300, bbox_inches="tight", pad_inches=0.03, metadata={"Date": None})
    return png, svg
