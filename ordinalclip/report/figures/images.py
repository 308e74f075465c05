"""Figures with test images: predicted distributions of some, and the images with the smallest and largest errors."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from ordinalclip.errors import DataError
from ordinalclip.metrics.ordinality import Matrix
from ordinalclip.report.figures.canvas import (
    BLUE,
    GREY,
    PAGE,
    RED,
    SMALL,
    Scale,
    blank,
    canvas,
    cut,
    open_frame,
    save,
    styled,
)

MOST_SAMPLES, _COLUMNS = 8, 4
_INCHES = 1.3  # of a panel
_FEW_RANKS = 20  # bars up to here, an area beyond

NUM_IMAGES, _IMAGE_COLUMNS, _PIXELS = 16, 4, 112
_CELL, _HEAD, _FOOT = 2.25, 0.36, 0.3  # inches: of an image with all its own, its words, the axis' name below all
_IMAGE_INCHES, _MOST_NAMES = 1.4, 5  # of the ranks below an image


def typical_images(rank_N: npt.NDArray[np.integer], predicted_N: Matrix) -> list[int]:
    """Rows of up to eight images, of ranks spread over the scale: of each rank the one whose error is its median."""
    present = np.unique(rank_N)
    chosen = present[np.unique(np.linspace(0, len(present) - 1, MOST_SAMPLES).round().astype(int))]
    rows = []
    for rank in chosen:
        of_rank = np.flatnonzero(rank_N == rank)
        order = np.argsort(np.abs(predicted_N[of_rank] - rank), kind="stable")
        rows.append(int(of_rank[order[(len(order) - 1) // 2]]))
    return rows


@styled
def samples_figure(
    probs_NR: Matrix,
    rank_N: npt.NDArray[np.integer],
    predicted_N: Matrix,
    scale: Scale,
    path_stem: Path,
) -> tuple[Path, Path]:
    """Draws the probabilities of typical images.

    Args:
        probs_NR: of the test images.
        rank_N: their true ranks.
        predicted_N: their declared readout, in ranks.
        scale: the R ranks.
        path_stem: where to, without a suffix.
    """
    rows = typical_images(rank_N, predicted_N)
    lines = -(-len(rows) // _COLUMNS)
    named_lines = 2 if len(rows) % _COLUMNS and lines > 1 else 1
    names = named_lines * (scale.height_below(inches=_INCHES, most=5) - 0.14)  # what long names take more
    figure, panels = canvas(PAGE, 0.5 + 1.45 * lines + names, lines, _COLUMNS, sharey=True, sharex=True)
    top = float(probs_NR[rows].max()) * 1.08
    for panel, row in zip(panels, rows, strict=False):
        draw_probabilities(panel, probs_NR[row], int(rank_N[row]), float(predicted_N[row]))
        panel.set_ylim(0, top)
        panel.set_title(f"true: {scale.short(int(rank_N[row]))}", parse_math=False)
        panel.locator_params(axis="y", nbins=3)
        open_frame(panel)
        scale.along_x(panel, "rank", inches=_INCHES, most=5, beside=True)
    for panel in panels[len(rows) :]:
        panel.set_axis_off()
    for place, panel in enumerate(panels[: len(rows)]):
        panel.label_outer()
        if place + _COLUMNS < len(rows):
            panel.set_xlabel("")
    for panel in panels[: len(rows) : _COLUMNS]:
        panel.set_ylabel("probability")
    if len(rows) % _COLUMNS and lines > 1:  # no panel below: these have ticks of their own
        for panel in panels[len(rows) - _COLUMNS : (lines - 1) * _COLUMNS]:
            panel.tick_params(labelbottom=True)
            scale.along_x(panel, "rank", inches=_INCHES, most=5, beside=True)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return save(figure, path_stem)


def draw_probabilities(panel: object, probs_R: Matrix, rank: int, predicted: float) -> None:
    """Draws one image's distribution [R], its true rank and the readout of the prediction into a panel."""
    from matplotlib.axes import Axes

    assert isinstance(panel, Axes)
    ranks = np.arange(len(probs_R))
    if len(probs_R) <= _FEW_RANKS:
        panel.bar(ranks, probs_R, width=0.8, color=BLUE)
    else:
        panel.fill_between(ranks, probs_R, step="mid", color=BLUE, linewidth=0)
    panel.axvline(rank, color=GREY, linewidth=1.2, linestyle=(0, (3, 1.5)), label="true rank")
    at_top = panel.get_xaxis_transform()
    panel.plot([predicted], [0.97], "v", markersize=5, color=RED, transform=at_top, label="predicted")
    panel.set_xlim(-0.6, len(probs_R) - 0.4)


def best_and_worst(
    probs_NR: Matrix, rank_N: npt.NDArray[np.integer], predicted_N: Matrix
) -> tuple[list[int], list[int]]:
    """Rows of the 16 best and the 16 worst images; fewer where there are fewer than 32.

    By error of the readout; among equal errors by the probability of the true rank, so that "best" is sure and right
    and "worst" is sure and wrong.
    """
    error_N = np.abs(predicted_N - rank_N)
    true_N = probs_NR[np.arange(len(rank_N)), rank_N]
    order = np.lexsort((-true_N, error_N.round(6)))
    num = min(NUM_IMAGES, len(order) // 2)
    return order[:num].tolist(), order[::-1][:num].tolist()


def thumbnail(path: Path) -> tuple[npt.NDArray[np.uint8] | None, str]:
    """A small picture [H, W, 3], or None and why there is none."""
    from ordinalclip.images.decoding import open_rgb

    try:
        picture = open_rgb(path)
    except DataError as error:
        return None, str(error).removeprefix(f"{path}: ")
    picture.thumbnail((_PIXELS, _PIXELS))
    return np.asarray(picture), ""


@styled
def images_figure(
    rows: list[int],
    paths: list[Path],
    probs_NR: Matrix,
    rank_N: npt.NDArray[np.integer],
    predicted_N: Matrix,
    scale: Scale,
    path_stem: Path,
) -> tuple[Path, Path]:
    """Draws images with their distribution below them; one that is gone is named in its place.

    Args:
        rows: of the images to draw.
        paths: of all test images [N].
        probs_NR: their probabilities.
        rank_N: their true ranks.
        predicted_N: their declared readout, in ranks.
        scale: the R ranks.
        path_stem: where to, without a suffix.
    """
    lines = max(-(-len(rows) // _IMAGE_COLUMNS), 1)
    height = _CELL * lines + scale.height_below(inches=_IMAGE_INCHES, most=_MOST_NAMES) + _FOOT
    figure = blank(PAGE, height)
    for place, row in enumerate(rows):
        line, column = divmod(place, _IMAGE_COLUMNS)
        last = place + _IMAGE_COLUMNS >= len(rows)
        left, top = (column + 0.05) / _IMAGE_COLUMNS, 1 - (_CELL * line + _HEAD) / height
        above = figure.add_axes((left, top - 1.2 / height, 0.9 / _IMAGE_COLUMNS, 1.2 / height))
        _draw_picture(above, paths[row])
        above.set_axis_off()
        above.set_title(_told(scale, int(rank_N[row]), float(predicted_N[row])), fontsize=SMALL, parse_math=False)
        below = figure.add_axes((left, top - 1.78 / height, 0.9 / _IMAGE_COLUMNS, 0.5 / height))
        draw_probabilities(below, probs_NR[row], int(rank_N[row]), float(predicted_N[row]))
        below.set_ylim(0, float(probs_NR[row].max()) * 1.15)
        for side in ("left", "top", "right"):
            below.spines[side].set_visible(False)
        below.set_yticks([])
        if last:
            scale.along_x(below, "rank", inches=_IMAGE_INCHES, most=_MOST_NAMES, beside=True)
        else:
            below.set_xticks([])
    return save(figure, path_stem, dpi=150)


def _told(scale: Scale, rank: int, predicted: float) -> str:
    """True and predicted rank in words that fit over a picture; where between two names it is, the triangle shows."""
    nearest = min(max(round(predicted), 0), len(scale) - 1)
    if all(name == str(place) for place, name in enumerate(scale.names)):
        number = f"{predicted:.1f}" if predicted != nearest else str(nearest)
        return f"true {rank}, predicted {number}"
    return f"true: {cut(scale.names[rank])}\ngiven: {cut(scale.names[nearest])}"


def _draw_picture(panel: Any, path: Path) -> None:
    picture, problem = thumbnail(path)
    if picture is None:
        told = f"{PurePosixPath(path).name}\n{problem[:30]}"
        panel.text(
            0.5, 0.5, told, ha="center", va="center", fontsize=SMALL, transform=panel.transAxes, parse_math=False
        )
        return
    panel.imshow(picture, interpolation="none")  # as it is: an SVG holds no more pixels than the file has
