"""The test images that the model gets best and worst, with its probabilities."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from ordinalclip.errors import DataError
from ordinalclip.figures.canvas import PAGE, SMALL, blank, save, styled
from ordinalclip.figures.samples import draw_probabilities
from ordinalclip.figures.scale import Scale, cut
from ordinalclip.metrics.similarity import Matrix

NUM_IMAGES, _COLUMNS, _PIXELS = 16, 4, 112
_CELL, _HEAD, _FOOT = 2.25, 0.36, 0.3  # inches: of an image with all its own, its words, the axis' name below all
_INCHES, _MOST_NAMES = 1.4, 5  # of the ranks below an image


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
    from ordinalclip.datasets.images import open_rgb

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
    lines = max(-(-len(rows) // _COLUMNS), 1)
    height = _CELL * lines + scale.height_below(inches=_INCHES, most=_MOST_NAMES) + _FOOT
    figure = blank(PAGE, height)
    for place, row in enumerate(rows):
        line, column = divmod(place, _COLUMNS)
        last = place + _COLUMNS >= len(rows)
        left, top = (column + 0.05) / _COLUMNS, 1 - (_CELL * line + _HEAD) / height
        above = figure.add_axes((left, top - 1.2 / height, 0.9 / _COLUMNS, 1.2 / height))
        _draw_picture(above, paths[row])
        above.set_axis_off()
        above.set_title(_told(scale, int(rank_N[row]), float(predicted_N[row])), fontsize=SMALL, parse_math=False)
        below = figure.add_axes((left, top - 1.78 / height, 0.9 / _COLUMNS, 0.5 / height))
        draw_probabilities(below, probs_NR[row], int(rank_N[row]), float(predicted_N[row]))
        below.set_ylim(0, float(probs_NR[row].max()) * 1.15)
        for side in ("left", "top", "right"):
            below.spines[side].set_visible(False)
        below.set_yticks([])
        if last:
            scale.along_x(below, "rank", inches=_INCHES, most=_MOST_NAMES, beside=True)
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
