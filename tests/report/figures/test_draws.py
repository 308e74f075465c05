"""Every figure of a run draws for few and many ranks, without a warning (which would be an error here)."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ordinalclip.report.figures.canvas import Scale
from ordinalclip.report.figures.predictions import confusion_figure
from ordinalclip.report.gallery import draw_figures, has_figures
from tests.conftest import Compose
from tests.made_record import made_record
from tests.report.figures.legible import illegible

ALL = {
    "confusion",
    "rank_error",
    "predicted",
    "reliability",
    "pit",
    "risk_coverage",
    "samples",
    "best_images",
    "worst_images",
    "learning",
    "similarity",
    "similarity_softmax",
    "violations",
    "interpolation",
    "path",
}
LONG = ["functional", "moderately defective, with micro-cracks and worse", "defective", "worth $5 or $6", "", "last"]
GRADES = ["intact", "probably intact", "probably defective", "defective"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were drawn in this test, all of their parts, in place of files of print size."""
    kept: list[Figure] = []

    def keep(figure: Figure, file: Path, **_: Any) -> None:
        if file.suffix == ".png":
            figure.set_dpi(100)
            figure.canvas.draw()  # type: ignore[attr-defined]
            file.touch()
            kept.append(figure)

    monkeypatch.setattr(Figure, "savefig", keep)
    return kept


@pytest.mark.slow
@pytest.mark.parametrize(("num_ranks", "names"), [(2, None), (4, GRADES), (6, LONG), (101, None)])
def test_every_figure(
    num_ranks: int,
    names: list[str] | None,
    drawn: list[Figure],
    tmp_path: Path,
    compose_cfg: Compose,
    caplog: pytest.LogCaptureFixture,
) -> None:
    base = f"prompt.num_base_ranks={min(num_ranks, 3)}"
    run = made_record(tmp_path, compose_cfg("prompt=rank", base), num_ranks=num_ranks, names=names)
    assert not has_figures(run)
    order = draw_figures(run, run.read_json("ranks.json")["names"])
    assert set(order) == ALL
    assert "not drawn" not in caplog.text
    assert has_figures(run)
    cannot_be_read = dict(zip(order, map(illegible, drawn), strict=True))
    assert {name: told for name, told in cannot_be_read.items() if told} == {}
    for figure in drawn:
        words = [text for panel in figure.axes for text in panel.texts] + [
            label for panel in figure.axes for label in [panel.title, panel.xaxis.label, panel.yaxis.label]
        ]
        sizes = {float(text.get_fontsize()) for text in words if text.get_text()}
        assert min(sizes, default=8) >= 8
        assert figure.get_figwidth() <= 6.9


def test_an_image_that_is_gone_is_named_in_its_place(drawn: list[Figure], tmp_path: Path) -> None:
    from ordinalclip.report.figures.images import images_figure

    probs = np.full((1, 3), 1 / 3)
    images_figure([0], [tmp_path / "gone.png"], probs, np.array([1]), np.array([1.0]), Scale("abc"), tmp_path / "x")
    assert [text.get_text() for text in drawn[0].axes[0].texts] == ["gone.png\nfile not found"]


@pytest.mark.slow
def test_a_run_that_was_never_tested_is_drawn_as_far_as_it_goes(
    drawn: list[Figure], tmp_path: Path, compose_cfg: Compose
) -> None:
    run = made_record(tmp_path, compose_cfg("prompt=linear"), num_ranks=4)
    (run.directory / "test_stats.json").unlink()
    (run.directory / "metrics.jsonl").unlink()
    found = draw_figures(run, list("abcd"))
    assert set(found) == {"similarity", "similarity_softmax", "violations", "path"}


def test_files_of_print_size(tmp_path: Path) -> None:
    counts = np.array([[3, 1], [0, 0]])
    png, svg = confusion_figure(counts, Scale(["a", "b"]), tmp_path / "new" / "confusion.final", readout="argmax")
    assert (png.name, svg.name) == ("confusion.final.png", "confusion.final.svg")
    with Image.open(png) as image:
        assert image.width == 990  # 3.3 inches of 300 dots
    assert "<svg" in svg.read_text(encoding="utf-8")


@pytest.mark.slow
def test_nothing_global_is_touched(tmp_path: Path) -> None:
    code = f"""
import sys, pathlib, numpy as np
from ordinalclip.report import gallery
from ordinalclip.report.figures.predictions import confusion_figure
from ordinalclip.report.figures.canvas import Scale
assert "matplotlib" not in sys.modules and "torch" not in sys.modules
confusion_figure(np.eye(2, dtype=int), Scale("ab"), pathlib.Path({str(tmp_path)!r}) / "x", readout="argmax")
import matplotlib
assert "matplotlib.pyplot" not in sys.modules and "torch" not in sys.modules
assert matplotlib.rcParams["axes.linewidth"] == matplotlib.rcParamsDefault["axes.linewidth"]
"""
    subprocess.run([sys.executable, "-c", code], check=True)
