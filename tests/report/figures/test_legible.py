"""The test of the figures' words is itself tested: it sees what is cut and what lies on each other."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.report.figures.legible import illegible


def figure_with(*words: tuple[float, float, str, float]) -> Figure:
    figure = Figure(figsize=(3, 2))
    FigureCanvasAgg(figure)
    for x, y, word, angle in words:
        figure.text(x, y, word, rotation=angle, rotation_mode="anchor")
    figure.canvas.draw()
    return figure


def test_what_can_be_read() -> None:
    assert illegible(figure_with((0.1, 0.1, "one", 0), (0.5, 0.1, "two", 0), (0.1, 0.5, "three", 90))) == []
    # Turned words whose upright boxes overlap and that do not.
    assert illegible(figure_with((0.1, 0.2, "a long word", 45), (0.25, 0.2, "a long word", 45))) == []


def test_what_cannot() -> None:
    assert illegible(figure_with((0.95, 0.5, "beyond", 0))) == ["cut: 'beyond'"]
    assert illegible(figure_with((0.1, 0.1, "one", 0), (0.12, 0.1, "two", 0))) == ["on each other: 'one', 'two'"]
    assert len(illegible(figure_with((0.1, 0.2, "a long word", 45), (0.12, 0.2, "a long word", 45)))) == 1


def test_ticks_that_are_not_drawn_do_not_count() -> None:
    figure = Figure(figsize=(3, 2), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    panel.set_xticks([0, 50], ["here", "far beyond"])
    panel.set_xlim(0, 1)
    figure.canvas.draw()
    assert illegible(figure) == []
