"""The plots of the page: errors by shots, differences with intervals, similarities of rank features."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from analysis.evidence.plan import FEW_SHOT, Method, Setting
from analysis.evidence.report import COMPARISONS, short
from analysis.evidence.scores import RunGroups, error_difference, images_per_rank, mean_of

# Okabe and Ito's colors, which color-blind readers can distinguish; controls are hollow and dashed.
_COLORS = {"linear": "#000000", "interpolated": "#E69F00", "context": "#0072B2", "rank": "#D55E00"}
_MARKERS = {"linear": "s", "interpolated": "D", "context": "o", "rank": "^"}
_STYLE: Any = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "evidence"}


def draw_plots(groups: RunGroups, methods: Sequence[Method], settings: Sequence[Setting], folder: Path) -> list[str]:
    """Draws the plots that have runs; returns the names of the written files."""
    folder.mkdir(parents=True, exist_ok=True)
    with rc_context(_STYLE):
        drawn = [
            _few_shot(groups, methods, folder / "evidence_few_shot.svg"),
            _differences(groups, methods, settings, folder / "evidence_differences.svg"),
            _similarities(groups, methods, folder / "evidence_similarities.png"),
        ]
    return [path.name for path in drawn if path is not None]


def _few_shot(groups: RunGroups, methods: Sequence[Method], path: Path) -> Path | None:
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    panel = figure.subplots()
    constant: list[float] = []
    ticks: set[int] = set()
    for number, one in enumerate(methods):
        found = [
            (images_per_rank(groups[key][0].job) if shots is None else shots, mean_of(groups[key], "mae"))
            for name, shots in FEW_SHOT.items()
            if (key := ("", name, one.name)) in groups
        ]
        ticks |= {shots for shots, _ in found}
        constant += [run.stats["constant_mae"] for name in FEW_SHOT for run in groups.get(("", name, one.name), [])]
        if not found:
            continue
        shift = 1.04 ** (number - (len(methods) - 1) / 2)  # so that intervals do not overlap
        half = [max(estimate.high - estimate.value, 0) for _, estimate in found]
        panel.errorbar(
            [shots * shift for shots, _ in found],
            [estimate.value for _, estimate in found],
            yerr=None if not np.isfinite(half).all() else half,
            label=one.title,
            capsize=2,
            **_look(one.name),
        )
    if not constant:
        return None
    level = float(np.mean(constant))
    panel.axhline(level, color="0.6", linewidth=0.8, linestyle=":")
    panel.annotate(
        "constant predictor", (max(ticks), level), (0, -9), textcoords="offset points", color="0.4", ha="right"
    )
    panel.set_xscale("log", base=2)
    panel.set_xticks(sorted(ticks), [str(shots) for shots in sorted(ticks)])
    panel.set_xlabel("training images of each rank")
    panel.set_ylabel("mean absolute error (ranks)")
    panel.legend(frameon=False, fontsize=7)
    return _saved(figure, path)


def _differences(groups: RunGroups, methods: Sequence[Method], settings: Sequence[Setting], path: Path) -> Path | None:
    names = {one.name for one in methods}
    pairs = [(a, b) for a, b in COMPARISONS if {a, b} <= names]
    columns = 4
    rows = -(-len(pairs) // columns)
    if not pairs:
        return None
    figure = Figure(figsize=(7.6, 1.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel in panels.flat[len(pairs) :]:
        panel.set_axis_off()
    for (a, b), panel in zip(pairs, panels.flat, strict=False):
        for place, setting in enumerate(settings):
            estimate = error_difference(groups.get(("", setting.name, a), []), groups.get(("", setting.name, b), []))
            if not np.isfinite(estimate.low):
                continue
            clear = estimate.low > 0 or estimate.high < 0
            panel.plot([estimate.low, estimate.high], [place, place], color="black", linewidth=1)
            panel.plot([estimate.value], [place], "o", color="black", markerfacecolor="black" if clear else "white")
        panel.axvline(0, color="0.6", linewidth=0.8)
        panel.set_title(f"{short(a)} −\n{short(b)}", fontsize=8)
        panel.set_yticks(range(len(settings)), [one.title for one in settings])
        panel.set_ylim(len(settings) - 0.5, -0.5)
    figure.supxlabel("difference of mean absolute error (ranks): below 0 the first is ahead", fontsize=8)
    return _saved(figure, path)


def _similarities(groups: RunGroups, methods: Sequence[Method], path: Path) -> Path | None:
    shown = [(one, groups[key][0]) for one in methods if (key := ("", "full", one.name)) in groups]
    if not shown:
        return None
    columns = 3
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(6.6, 2.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat[len(shown) :]:
        panel.set_axis_off()
    for (one, run), panel in zip(shown, panels.flat, strict=False):
        features = run.rank_features / np.linalg.norm(run.rank_features, axis=1, keepdims=True)
        image = panel.imshow(features @ features.T, cmap="viridis", vmin=-1, vmax=1, interpolation="nearest")
        panel.set_title(f"{one.title}\nordinality {run.stats['ordinality_best']:.2f}", fontsize=6.5)
        panel.tick_params(labelsize=6)
    figure.supxlabel("rank", fontsize=8)
    figure.supylabel("rank", fontsize=8)
    figure.colorbar(image, ax=panels, shrink=0.6, label="cosine of rank features")
    return _saved(figure, path)


def _look(name: str) -> dict[str, Any]:
    base = name.removesuffix("_untrained")
    control = base != name
    return {
        "color": _COLORS[base],
        "marker": _MARKERS[base],
        "markersize": 5,
        "linewidth": 1.2,
        "linestyle": "--" if control else "-",
        "markerfacecolor": "white" if control else _COLORS[base],
    }


def _saved(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else None)
    return path
