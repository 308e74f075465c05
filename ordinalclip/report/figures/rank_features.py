"""Figures of rank features: interpolation weights, similarities, violations of the order, path in the plane."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ordinalclip.metrics.ordinality import (
    Features,
    Matrix,
    row_softmax,
    shares_out_of_order,
    similarity,
    steps_away,
    violations,
)
from ordinalclip.report.figures.canvas import (
    COLUMN,
    EVEN,
    GREY,
    MISSING,
    PAGE,
    RED,
    SMALL,
    Scale,
    canvas,
    colour_bar,
    open_frame,
    save,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {"before": "before training", "best": "best epoch"}
_NAME_OFFSET = 6  # typographic points between a point and its name
# Positions of a name relative to its point as (right, up), in order of preference.
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
_HORIZONTAL = {1: "left", 0: "center", -1: "right"}
_VERTICAL = {1: "bottom", 0: "center", -1: "top"}
_MAX_NAMES = 6


@styled
def interpolation_figure(weights_RK: Matrix, scale: Scale, path_stem: Path) -> tuple[Path, Path]:
    """Draws a line for each of the K base ranks from interpolation weights [R, K]."""
    import matplotlib as mpl

    figure, (panel,) = canvas(COLUMN, 2.6)
    num_base_ranks = weights_RK.shape[1]
    colours = mpl.colormaps[EVEN](np.linspace(0, 0.9, num_base_ranks))
    for base, colour in enumerate(colours):
        marker = "o" if len(scale) <= 12 else ""
        label = f"base rank {base + 1}" if num_base_ranks <= 6 or base in (0, num_base_ranks - 1) else None
        panel.plot(weights_RK[:, base], color=colour, marker=marker, markersize=3, label=label)
    panel.set_ylim(0, 1.02)
    panel.set_ylabel("weight")
    scale.along_x(panel, "rank", inches=2.7)
    open_frame(panel)
    figure.legend(loc="outside upper center", ncols=min(3, num_base_ranks), handlelength=1.2, columnspacing=1.0)
    return save(figure, path_stem)


def similarity_maps(stages: Mapping[str, Features], *, softmax: bool = False) -> dict[str, Matrix]:
    """Returns stage → cosine similarities [R, R] of its rank features, divided by the largest, or their row softmax."""
    maps = {stage: similarity(features_RD) for stage, features_RD in stages.items()}
    return {stage: row_softmax(one) for stage, one in maps.items()} if softmax else maps


@styled
def similarity_figure(
    stages: Mapping[str, Features],
    scale: Scale,
    path_stem: Path,
    *,
    adjusted: Mapping[str, float],
    softmax: bool = False,
) -> tuple[Path, Path]:
    """Draws a map for each stage, on one color scale: ordered ranks show a bright diagonal that fades to the corners.

    Args:
        stages: Rank features [R, D] by stage: `best`, and `before` if known.
        scale: The R ranks.
        path_stem: Output path without suffix.
        adjusted: Adjusted ordinality by stage, for the titles; may lack a stage, or be nan.
        softmax: Draw the softmax of each row instead of similarities.
    """
    maps = similarity_maps(stages, softmax=softmax)
    both = len(maps) > 1
    figure, panels = canvas(PAGE if both else COLUMN, 3.4 if both else 3.1, columns=len(maps))
    low, high = min(one.min() for one in maps.values()), max(one.max() for one in maps.values())
    inches = 2.4 if both else 2.2
    for panel, (stage, one) in zip(panels, maps.items(), strict=True):
        image = panel.imshow(one, cmap=EVEN, vmin=low, vmax=high, interpolation="nearest")
        score = adjusted.get(stage, float("nan"))
        subtitle = "" if score != score else f"\nadjusted ordinality {round(score, 3) + 0.0:.3f}"
        panel.set_title(f"{TITLES[stage]}{subtitle}")
        scale.along_x(panel, "rank", inches=inches)
    scale.along_y(panels[0], "rank")
    for panel in panels[1:]:
        panel.set_yticks(panels[0].get_yticks(), [])
    label = "softmax of similarities to the row's rank" if softmax else "cosine similarity / its largest"
    colour_bar(figure, image, panels[-1], label)
    return save(figure, path_stem)


def violation_map(features_RD: Features) -> tuple[Matrix, Matrix]:
    """Finds ranks k that are at least as similar to rank i as the neighbor of k on the side of i.

    Returns:
        The rises of similarity [R, R] by (i, k), nan where the order holds or is undefined; and for neighbors r and
        r + 1 the share of the other ranks that see them out of order [R-1].
    """
    similarity_RR = similarity(features_RD)
    rises_RR = np.where(violations(similarity_RR), np.maximum(steps_away(similarity_RR), 0), np.nan)
    return rises_RR, shares_out_of_order(similarity_RR)


@styled
def violations_figure(features_RD: Features, scale: Scale, path_stem: Path) -> tuple[Path, Path]:
    """Draws both results of `violation_map` for rank features [R, D]."""
    from matplotlib.colors import ListedColormap

    rises_RR, shares = violation_map(features_RD)
    num_ranks = len(rises_RR)
    figure, (panel, bars) = canvas(PAGE, 3.2, columns=2)
    counted = np.abs(np.subtract.outer(np.arange(num_ranks), np.arange(num_ranks))) >= 2
    panel.imshow(np.where(counted, 0.0, np.nan), cmap=ListedColormap([MISSING]), interpolation="nearest")
    broken = bool(np.isfinite(rises_RR).any())
    if broken:
        most = float(np.nanmax(rises_RR))
        image = panel.imshow(rises_RR, cmap="viridis_r", vmin=0, vmax=most or 1, interpolation="nearest")
        colour_bar(figure, image, panel, "rise of similarity")
    else:
        note = "no step\nout of order" if num_ranks > 2 else "two ranks:\nno steps"
        panel.text(0.5, 0.5, note, transform=panel.transAxes, ha="center", va="center", fontsize=SMALL)
    scale.along_x(panel, "rank stepped to", inches=2.0)
    scale.along_y(panel, "seen from rank")
    panel.set_title("steps that rise instead of fall")
    places = np.arange(num_ranks - 1) + 0.5
    bars.bar(places, np.nan_to_num(shares), width=0.8, color=RED)
    bars.set_xlim(-0.5, num_ranks - 0.5)
    bars.set_ylim(0, 1)
    bars.set_ylabel("share of the other ranks")
    bars.set_title("neighbours out of order")
    scale.along_x(bars, "between ranks", inches=2.6)
    open_frame(bars)
    return save(figure, path_stem)


def name_points(panel: Axes, places: Matrix, names: Mapping[int, str]) -> None:
    """Writes names next to points without overlaps, those of the outermost points first.

    Args:
        panel: Panel with final limits. Its figure is laid out to measure the names.
        places: All points in data coordinates [N, 2].
        names: Index of a point → its name. Names that do not fit are omitted.
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
                (_NAME_OFFSET * right, _NAME_OFFSET * up),
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
    """Returns whether a box contains any of the points [N, 2], in pixels, or of the lines between them."""
    steps = np.linspace(0, 1, 30)[:, None, None]
    along = (points[:-1] + steps * (points[1:] - points[:-1])).reshape(-1, 2)
    x, y = np.concatenate([points, along]).T
    return bool(((x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1)).any())


def principal_path(features_RD: Features) -> tuple[Matrix, Matrix]:
    """Projects unit-length rank features on their first two principal components.

    Returns:
        Coordinates [R, 2], with the last rank at the right of the first, and the explained variance ratios [2].
    """
    features = np.asarray(features_RD, dtype=np.float64)
    unit_RD = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    centred_RD = unit_RD - unit_RD.mean(axis=0)
    left, spread, _ = np.linalg.svd(centred_RD, full_matrices=False)
    found = np.zeros((len(features), 2))
    width = min(2, len(spread))
    found[:, :width] = left[:, :width] * spread[:width]
    if found[0, 0] > found[-1, 0]:  # the sign of a component is arbitrary
        found[:, 0] *= -1
    if found[len(found) // 2, 1] < 0:
        found[:, 1] *= -1
    shares = np.zeros(2)
    shares[:width] = spread[:width] ** 2 / max(float((spread**2).sum()), 1e-30)
    return found, shares


@styled
def path_figure(stages: Mapping[str, Features], scale: Scale, path_stem: Path) -> tuple[Path, Path]:
    """Draws the path of each stage's rank features [R, D], colored by rank; each stage has its own axes."""
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
        name_points(panel, path, {rank: scale.short(rank) for rank in scale.places(_MAX_NAMES)})
    return save(figure, path_stem)


def _name_colours(axis: object, scale: Scale) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axis, Axes)
    places = scale.places(6)
    axis.set_yticks(places, [scale.short(place) for place in places], parse_math=False)
