import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ordinalclip import figures
from ordinalclip.figures import confusion_figure, similarity_figure

LONG = ["functional", "moderately defective, with micro-cracks", "defective", "worth $5 or $6"]
RNG = np.random.default_rng(0)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that were drawn in this test, in place of files."""
    kept: list[Any] = []

    def keep(figure: Any, stem: Path) -> tuple[Path, Path]:
        kept.append(figure)
        return stem, stem

    monkeypatch.setattr(figures, "_save", keep)
    return kept


def draw_similarity(names: list[str], stem: Path) -> tuple[Path, Path]:
    before, after = RNG.normal(size=(2, len(names), 8))
    return similarity_figure(before, after, names, stem, ordinality_before=0.5, ordinality_after=0.987)


@pytest.mark.parametrize("names", [LONG, [str(rank) for rank in range(101)], ["only"], ["", "1"]])
def test_files_are_written_large_enough_to_print(names: list[str], tmp_path: Path) -> None:
    png, svg = draw_similarity(names, tmp_path / "new" / "similarity.final")
    assert (png.name, svg.name) == ("similarity.final.png", "similarity.final.svg")
    with Image.open(png) as image:
        assert image.width > 1800
    assert "<svg" in svg.read_text(encoding="utf-8")


def test_both_maps_show_cosines_on_one_scale(drawn: list, tmp_path: Path) -> None:
    before = np.array([[2.0, 0.0], [0.0, 5.0]])
    after = np.array([[3.0, 0.0], [-1.0, 1.0]])
    similarity_figure(before, after, ["a", "b"], tmp_path / "x", ordinality_before=0.25, ordinality_after=1)
    images = [panel.images[0] for panel in drawn[0].axes if panel.images]
    np.testing.assert_allclose(images[0].get_array(), [[1, 0], [0, 1]], atol=1e-12)
    np.testing.assert_allclose(images[1].get_array(), [[1, -(0.5**0.5)], [-(0.5**0.5), 1]], atol=1e-12)
    for image in images:
        np.testing.assert_allclose(image.get_clim(), (-(0.5**0.5), 1), atol=1e-12)
    titles = [panel.get_title() for panel in drawn[0].axes]
    assert titles[:2] == ["before training\nordinality 0.250", "after training\nordinality 1.000"]


@pytest.mark.parametrize(
    ("num_ranks", "labels"),
    [(4, [0, 1, 2, 3]), (11, list(range(11))), (16, list(range(0, 16, 2))), (101, list(range(0, 101, 10)))],
)
def test_labels_are_thinned_where_ranks_are_many(
    num_ranks: int, labels: list[int], drawn: list, tmp_path: Path
) -> None:
    draw_similarity([f"r{rank}" for rank in range(num_ranks)], tmp_path / "x")
    for axis in (drawn[0].axes[0].xaxis, drawn[0].axes[0].yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == [f"r{rank}" for rank in labels]


def test_long_names_are_folded_and_slanted(drawn: list, tmp_path: Path) -> None:
    draw_similarity(LONG, tmp_path / "x")
    labels = drawn[0].axes[0].get_xticklabels()
    assert labels[1].get_text() == "moderately\ndefective, with\nmicro-cracks"
    assert {label.get_rotation() for label in labels} == {45}


def test_confusion_shows_shares_of_each_true_rank(drawn: list, tmp_path: Path) -> None:
    confusion_figure(np.array([[3, 1, 0], [0, 0, 0], [2, 0, 2]]), ["a", "b", "c"], tmp_path / "x", title="test")
    panel = drawn[0].axes[0]
    np.testing.assert_array_equal(
        np.ma.filled(panel.images[0].get_array(), np.nan), [[0.75, 0.25, 0], [np.nan] * 3, [0.5, 0, 0.5]]
    )
    assert [text.get_text() for text in panel.texts] == list("310000202")
    assert panel.get_title() == "test"


@pytest.mark.parametrize("num_ranks", [1, 4, 40])
def test_confusion_files(num_ranks: int, tmp_path: Path) -> None:
    counts = RNG.integers(0, 5, size=(num_ranks, num_ranks))
    counts[-1] = 0
    for path in confusion_figure(counts, [str(rank) for rank in range(num_ranks)], tmp_path / "confusion"):
        assert path.stat().st_size > 0


def test_nothing_global_is_touched(tmp_path: Path) -> None:
    code = f"""
import sys, pathlib, numpy as np
from ordinalclip.figures import confusion_figure
assert "matplotlib" not in sys.modules
confusion_figure(np.eye(2, dtype=int), ["a", "b"], pathlib.Path({str(tmp_path)!r}) / "x")
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
