"""Figures of calibration: reliability of thresholds and of the argmax, PIT histogram, risk-coverage curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ordinalclip.report.figures.canvas import (
    BLUE,
    COLUMN,
    EVEN,
    GREEN,
    GREY,
    ORANGE,
    PAGE,
    Scale,
    canvas,
    colour_bar,
    open_frame,
    save,
    styled,
)

_CURVES = {  # confidence of the risk-coverage curve → label, color, line style
    "expected_error": ("expected error", BLUE, "-"),
    "max_prob": ("largest probability", ORANGE, "--"),
    "oracle": ("true error (best)", GREEN, ":"),
}
_MIN_IMAGES = 10  # of a bin that is drawn
_MAX_THRESHOLDS = 7


@styled
def pit_figure(pit: Mapping[str, Any], path_stem: Path) -> tuple[Path, Path]:
    """Draws the histogram of the probability integral transform: `edges`, `height` of `test_details.json`."""
    figure, (panel,) = canvas(COLUMN, 2.4)
    edges, height = np.asarray(pit["edges"]), np.asarray(pit["height"], dtype=float)
    panel.bar(edges[:-1], height, width=np.diff(edges), align="edge", color=ORANGE, edgecolor="white", linewidth=0.6)
    panel.axhline(1, color="black", linewidth=0.8, linestyle="--")
    panel.set(xlim=(0, 1), xlabel="P(rank < true) … P(rank ≤ true)", ylabel="density (1 = calibrated)")
    panel.set_ylim(0, max(1.2, float(height.max()) * 1.05))
    open_frame(panel)
    return save(figure, path_stem)


@styled
def risk_coverage_figure(curves: Mapping[str, Any], path_stem: Path) -> tuple[Path, Path]:
    """Draws `risk_coverage` of `test_details.json`: mean error in ranks against the share of images that are kept."""
    figure, (panel,) = canvas(COLUMN, 2.9)
    for name, (label, colour, line) in _CURVES.items():
        if name in curves["curves"]:
            panel.plot(curves["coverage"], curves["curves"][name]["risk"], line, color=colour, label=label)
    panel.axhline(curves["full"], color=GREY, linewidth=0.8, linestyle="-.", label="random order")
    panel.set(xlim=(0, 1), xlabel="share of images kept, most certain first", ylabel="MAE (ranks)")
    panel.set_ylim(bottom=0)
    open_frame(panel)
    figure.legend(loc="outside upper center", ncols=2, handlelength=1.8, columnspacing=0.8)
    return save(figure, path_stem)


def filled_bins(
    count: Sequence[int], predicted: Sequence[float | None], observed: Sequence[float | None]
) -> npt.NDArray[np.floating]:
    """Returns predicted and observed share and number of images [3, bins] of the bins with at least ten images."""
    rows = [
        (one, other, number)
        for number, one, other in zip(count, predicted, observed, strict=True)
        if number >= _MIN_IMAGES and one is not None and other is not None
    ]
    return np.array(rows, dtype=float).reshape(-1, 3).T


@styled
def reliability_figure(details: Mapping[str, Any], scale: Scale, path_stem: Path) -> tuple[Path, Path]:
    """Draws the reliability of P(rank <= k) for some thresholds k and for all, and of the most probable rank.

    Args:
        details: `thresholds` and `reliability` of `test_details.json`.
        scale: The R ranks.
        path_stem: Output path without suffix.
    """
    import matplotlib as mpl

    thresholds, argmax = details["thresholds"], details["reliability"]
    figure, (panel, top) = canvas(PAGE, 3.2, columns=2)
    num = len(thresholds["error"])
    lines = np.unique(np.linspace(0, num - 1, min(_MAX_THRESHOLDS, num)).round().astype(int))
    norm = mpl.colors.Normalize(0, max(num - 1, 1))
    if num > 1:
        for line in lines:
            one = filled_bins(*(thresholds[name][line] for name in ("count", "predicted", "observed")))
            panel.plot(one[0], one[1], color=mpl.colormaps[EVEN](norm(line)), linewidth=1.0, marker=".", markersize=4)
        shown = mpl.cm.ScalarMappable(norm, EVEN)
        colour_bar(figure, shown, panel, scale.label("k"))
        places = [place for place in scale.places(6) if place < num]
        figure.axes[-1].set_yticks(places, [scale.short(place) for place in places], parse_math=False)
    pooled = thresholds["pooled"]
    _curve(panel, filled_bins(pooled["count"], pooled["predicted"], pooled["observed"]), "black", "all thresholds")
    panel.set_title(f"P(rank ≤ k), mean error {thresholds['mean']:.3f}")
    _curve(top, filled_bins(argmax["count"], argmax["confidence"], argmax["accuracy"]), BLUE, "most probable rank")
    top.set_title(f"most probable rank, ECE {argmax['ece']:.3f}")
    on_top = filled_bins(argmax["count"], argmax["confidence"], argmax["accuracy"])[:2]
    reach = min(1.0, 1.2 * float(on_top.max(initial=0.05)))  # with many ranks all probabilities are small
    panel.set(xlim=(0, 1), ylim=(0, 1))
    top.set(xlim=(0, reach), ylim=(0, reach))
    for axes in (panel, top):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="--", zorder=0)
        axes.set(aspect="equal", xlabel="predicted probability", ylabel="observed share")
        open_frame(axes)
    return save(figure, path_stem)


def _curve(panel: Any, bins: npt.NDArray[np.floating], colour: str, label: str) -> None:
    predicted, observed, count = bins
    panel.plot(predicted, observed, color=colour, linewidth=1.4, label=label)
    if len(count):
        panel.scatter(
            predicted, observed, s=6 + 40 * count / count.max(), color=colour, zorder=3, linewidths=0, clip_on=False
        )
