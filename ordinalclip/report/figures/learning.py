"""Learning curves: loss, validation error and ordinality by epoch, and the selected epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ordinalclip.report.figures.canvas import BLUE, GREEN, GREY, ORANGE, PAGE, RED, canvas, open_frame, save, styled


@dataclass(frozen=True)
class Curves:
    """Logged values by epoch. Epochs count from 1.

    Attributes:
        epoch: Epochs [E].
        values: Logged name → [E], nan for epochs that did not log it.
        chosen: The selected epoch; None if unknown.
    """

    epoch: npt.NDArray[np.int64]
    values: dict[str, npt.NDArray[np.floating]]
    chosen: int | None


def learning_curves(lines: Iterable[Mapping[str, Any]], selection: str, *, largest: bool = False) -> Curves:
    """Returns the curves in the lines of metrics.jsonl.

    Args:
        lines: Lines of metrics.jsonl. If an epoch has several, the last one is used; lines without a loss are skipped.
        selection: Logged name of the selection metric.
        largest: Whether its largest value is best.
    """
    by_epoch = {line["epoch"]: line["values"] for line in lines if "train/loss" in line["values"]}
    epochs = sorted(by_epoch)
    names = sorted({name for values in by_epoch.values() for name in values})
    values = {name: np.array([by_epoch[one].get(name, np.nan) for one in epochs], dtype=float) for name in names}
    chosen = None
    if selection in values and np.isfinite(values[selection]).any():
        pick = np.nanargmax if largest else np.nanargmin  # the first of equals, as in training
        chosen = epochs[int(pick(values[selection]))] + 1
    return Curves(np.array(epochs, dtype=np.int64) + 1, values, chosen)


@styled
def learning_figure(
    curves: Curves, selection: str, path_stem: Path, *, before: Mapping[str, float], on_test: bool = False
) -> tuple[Path, Path]:
    """Draws three panels: loss, selection metric and ordinality.

    Args:
        curves: Curves from `learning_curves`.
        selection: Logged name of the selection metric.
        path_stem: Output path without suffix.
        before: Logged name → score of the rank features before training, drawn at epoch 0.
        on_test: Whether "val" is the test split, as in some published protocols.
    """
    figure, panels = canvas(PAGE, 2.4, columns=3)
    val = "test (selection)" if on_test else "validation"
    error = ("val/mae",) if selection == "val/mae" else (selection, "val/mae")
    shown: Sequence[tuple[str, Sequence[tuple[str, str, str]]]] = (
        ("loss", (("train/loss", "training", BLUE), ("val/loss", val, ORANGE), ("val/nll", f"{val}, NLL", ORANGE))),
        (_title(error[0]), ((error[0], val, ORANGE), *((name, f"{val}, MAE", GREEN) for name in error[1:]))),
        (
            "ordinality",
            (
                ("ordinality_adjusted", "adjusted", BLUE),
                ("ordinality_kendall", "Kendall's τ", GREEN),
                ("ordinality", "the paper's", GREY),
            ),
        ),
    )
    for panel, (label, series) in zip(panels, shown, strict=True):
        for name, legend, colour in series:
            values = curves.values.get(name)
            if values is None:
                continue
            epochs = curves.epoch
            if name in before:
                epochs, values = np.insert(epochs, 0, 0), np.insert(values, 0, before[name])
            marker = "." if len(epochs) <= 40 else ""
            line = "--" if name == "ordinality" else "-"  # often equal to the adjusted score, visible in the gaps
            panel.plot(epochs, values, line, color=colour, marker=marker, markersize=4, label=legend)
        if curves.chosen is not None:
            panel.axvline(curves.chosen, color=RED, linewidth=0.9, linestyle="--", zorder=0)
        panel.set_xlabel("epoch")
        panel.set_ylabel(label)
        panel.locator_params(axis="x", nbins=5, integer=True)
        open_frame(panel)
        if panel.lines[: len(panel.lines) - (curves.chosen is not None)]:
            panel.legend(loc="best", handlelength=1.4)
    low = min([0.0, *(float(np.nanmin(line.get_ydata())) for line in panels[2].lines[:3])])
    panels[2].set_ylim(low - 0.03, 1.03)
    if curves.chosen is not None:
        panels[1].set_title(f"selected: epoch {curves.chosen}", color=RED)
    return save(figure, path_stem)


def _title(selection: str) -> str:
    name = selection.removeprefix("val/")
    return f"{name.replace('mae', 'MAE').replace('_', ', ')} (ranks)" if name.startswith("mae") else name
