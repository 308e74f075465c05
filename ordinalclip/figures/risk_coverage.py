"""Risk–coverage: the error that is left when only what the model is surest of is kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ordinalclip.figures.canvas import BLUE, COLUMN, GREEN, GREY, ORANGE, canvas, open_frame, save, styled

_SHOWN = {
    "expected_error": ("expected error", BLUE, "-"),
    "max_prob": ("largest probability", ORANGE, "--"),
    "oracle": ("true error (best)", GREEN, ":"),
}


@styled
def risk_coverage_figure(curves: Mapping[str, Any], path_stem: Path) -> tuple[Path, Path]:
    """Draws `risk_coverage` of `test_details.json`: mean error in ranks by the share of images that is kept."""
    figure, (panel,) = canvas(COLUMN, 2.9)
    for name, (label, colour, line) in _SHOWN.items():
        if name in curves["curves"]:
            panel.plot(curves["coverage"], curves["curves"][name]["risk"], line, color=colour, label=label)
    panel.axhline(curves["full"], color=GREY, linewidth=0.8, linestyle="-.", label="any order")
    panel.set(xlim=(0, 1), xlabel="share of images kept, surest first", ylabel="MAE (ranks)")
    panel.set_ylim(bottom=0)
    open_frame(panel)
    figure.legend(loc="outside upper center", ncols=2, handlelength=1.8, columnspacing=0.8)
    return save(figure, path_stem)
