"""Figures of single test images: typical distributions, and the images with the best and the worst predictions."""

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

_MAX_BARS = 20  # distributions over more ranks are drawn as an area

# Figure of distributions.
MAX_SAMPLES, _SAMPLE_COLUMNS = 8, 4
_SAMPLE_WIDTH = 1.3  # inches of a panel

# Figures of images.
NUM_IMAGES, _IMAGE_COLUMNS = 16, 4
_PIXELS = 112  # longer side of an embedded image
_CELL_HEIGHT, _TITLE_HEIGHT, _LABEL_HEIGHT = (
    2.25,
    0.36,
    0.3,
)  # inches: image with title and distribution, title, x label
_IMAGE_WIDTH = 1.4  # inches

_MAX_TICKS = 5  # ranks named below a panel


def typical_images(rank_N: npt.NDArray[np.integer], predicted_N: Matrix) -> list[int]:
    """Returns rows of up to eight images: for ranks spread over the scale, the image with the rank's median error."""
    present = np.unique(rank_N)
    chosen = present[np.unique(np.linspace(0, len(present) - 1, MAX_SAMPLES).round().astype(int))]
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
        probs_NR: Probabilities of the test images.
        rank_N: Their true ranks.
        predicted_N: Their declared readout, in ranks.
        scale: The R ranks.
        path_stem: Output path without suffix.
    """
    rows = typical_images(rank_N, predicted_N)
    lines = -(-len(rows) // _SAMPLE_COLUMNS)
    named_lines = 2 if len(rows) % _SAMPLE_COLUMNS and lines > 1 else 1
    names = named_lines * (
        scale.height_below(inches=_SAMPLE_WIDTH, most=_MAX_TICKS) - 0.14
    )  # additional height of long names
    figure, panels = canvas(PAGE, 0.5 + 1.45 * lines + names, lines, _SAMPLE_COLUMNS, sharey=True, sharex=True)
    top = float(probs_NR[rows].max()) * 1.08
    for panel, row in zip(panels, rows, strict=False):
        draw_probabilities(panel, probs_NR[row], int(rank_N[row]), float(predicted_N[row]))
        panel.set_ylim(0, top)
        panel.set_title(f"true: {scale.short(int(rank_N[row]))}", parse_math=False)
        panel.locator_params(axis="y", nbins=3)
        open_frame(panel)
        scale.along_x(panel, "rank", inches=_SAMPLE_WIDTH, most=_MAX_TICKS, beside=True)
    for panel in panels[len(rows) :]:
        panel.set_axis_off()
    for place, panel in enumerate(panels[: len(rows)]):
        panel.label_outer()
        if place + _SAMPLE_COLUMNS < len(rows):
            panel.set_xlabel("")
    for panel in panels[: len(rows) : _SAMPLE_COLUMNS]:
        panel.set_ylabel("probability")
    if len(rows) % _SAMPLE_COLUMNS and lines > 1:  # panels without a panel below need their own ticks
        for panel in panels[len(rows) - _SAMPLE_COLUMNS : (lines - 1) * _SAMPLE_COLUMNS]:
            panel.tick_params(labelbottom=True)
            scale.along_x(panel, "rank", inches=_SAMPLE_WIDTH, most=_MAX_TICKS, beside=True)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return save(figure, path_stem)


def draw_probabilities(panel: object, probs_R: Matrix, rank: int, predicted: float) -> None:
    """Draws a distribution [R], the true rank, and the predicted rank into a panel."""
    from matplotlib.axes import Axes

    assert isinstance(panel, Axes)
    ranks = np.arange(len(probs_R))
    if len(probs_R) <= _MAX_BARS:
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
    """Returns the rows of the 16 best and the 16 worst images; of fewer than 32 images, half and half.

    Images are sorted by the error of the readout, then by the probability of the true rank.
    """
    error_N = np.abs(predicted_N - rank_N)
    true_N = probs_NR[np.arange(len(rank_N)), rank_N]
    order = np.lexsort((-true_N, error_N.round(6)))
    num = min(NUM_IMAGES, len(order) // 2)
    return order[:num].tolist(), order[::-1][:num].tolist()


def thumbnail(path: Path) -> tuple[npt.NDArray[np.uint8] | None, str]:
    """Returns a downscaled image [H, W, 3] and "", or None and the problem if it cannot be read."""
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
    """Draws images above their distributions; a missing image is replaced by its file name.

    Args:
        rows: Rows of the images to draw.
        paths: Paths of all test images [N].
        probs_NR: Their probabilities.
        rank_N: Their true ranks.
        predicted_N: Their declared readout, in ranks.
        scale: The R ranks.
        path_stem: Output path without suffix.
    """
    lines = max(-(-len(rows) // _IMAGE_COLUMNS), 1)
    height = _CELL_HEIGHT * lines + scale.height_below(inches=_IMAGE_WIDTH, most=_MAX_TICKS) + _LABEL_HEIGHT
    figure = blank(PAGE, height)
    for place, row in enumerate(rows):
        line, column = divmod(place, _IMAGE_COLUMNS)
        last = place + _IMAGE_COLUMNS >= len(rows)
        left, top = (column + 0.05) / _IMAGE_COLUMNS, 1 - (_CELL_HEIGHT * line + _TITLE_HEIGHT) / height
        above = figure.add_axes((left, top - 1.2 / height, 0.9 / _IMAGE_COLUMNS, 1.2 / height))
        _draw_picture(above, paths[row])
        above.set_axis_off()
        above.set_title(_title(scale, int(rank_N[row]), float(predicted_N[row])), fontsize=SMALL, parse_math=False)
        below = figure.add_axes((left, top - 1.78 / height, 0.9 / _IMAGE_COLUMNS, 0.5 / height))
        draw_probabilities(below, probs_NR[row], int(rank_N[row]), float(predicted_N[row]))
        below.set_ylim(0, float(probs_NR[row].max()) * 1.15)
        for side in ("left", "top", "right"):
            below.spines[side].set_visible(False)
        below.set_yticks([])
        if last:
            scale.along_x(below, "rank", inches=_IMAGE_WIDTH, most=_MAX_TICKS, beside=True)
        else:
            below.set_xticks([])
    return save(figure, path_stem, dpi=150)


def _title(scale: Scale, rank: int, predicted: float) -> str:
    """Returns the true and the predicted rank as a title; a prediction between two ranks is rounded unless numeric."""
    nearest = min(max(round(predicted), 0), len(scale) - 1)
    if all(name == str(place) for place, name in enumerate(scale.names)):
        number = f"{predicted:.1f}" if predicted != nearest else str(nearest)
        return f"true {rank}, predicted {number}"
    return f"true: {cut(scale.names[rank])}\npred.: {cut(scale.names[nearest])}"


def _draw_picture(panel: Any, path: Path) -> None:
    picture, problem = thumbnail(path)
    if picture is None:
        label = f"{PurePosixPath(path).name}\n{problem[:30]}"
        panel.text(
            0.5, 0.5, label, ha="center", va="center", fontsize=SMALL, transform=panel.transAxes, parse_math=False
        )
        return
    panel.imshow(picture, interpolation="none")  # keeps the SVG at the picture's resolution
