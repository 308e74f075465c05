import numpy as np
import pytest

from ordinalclip.calibration.conformal import ends, mass_before, median_rank
from tests.calibration.made import draw, softmax


def slow_growth(row):
    """The order in which ranks join, and what they find there."""
    lower = upper = next((k for k in range(len(row)) if sum(row[: k + 1]) >= 0.5), len(row) - 1)
    before = {lower: 0.0}
    while len(before) < len(row):
        below = row[lower - 1] if lower > 0 else -1
        above = row[upper + 1] if upper < len(row) - 1 else -1
        mass = sum(row[lower : upper + 1])
        if below >= above:
            lower -= 1
            before[lower] = mass
        else:
            upper += 1
            before[upper] = mass
    return [before[k] for k in range(len(row))]


@pytest.mark.parametrize("num_ranks", [2, 3, 7])
def test_equals_the_slow_growth(num_ranks):
    probs = softmax(2 * np.random.default_rng(0).normal(size=(60, num_ranks)))
    assert mass_before(probs) == pytest.approx(np.array([slow_growth(row) for row in probs.tolist()]))


def test_by_hand():
    before = mass_before(np.array([[0.1, 0.5, 0.3, 0.1], [0.45, 0.05, 0.05, 0.45]]))
    assert before[0] == pytest.approx([0.8, 0, 0.5, 0.9])  # of the equal ends the lower joins first
    assert before[1] == pytest.approx([0.05, 0, 0.5, 0.55])  # two modes: from the median to the nearer, then across
    assert [int(end[0]) for end in ends(before, 0.79)] == [1, 2]
    assert [int(end[0]) for end in ends(before, 0.8)] == [0, 2]


def test_sets_have_no_gap_hold_the_median_and_grow_with_the_threshold():
    probs = softmax(draw(300, 9, np.random.default_rng(1), 2.0)[0])
    before = mass_before(probs)
    previous = None
    for threshold in (0.0, 0.2, 0.5, 0.8, 0.95, 1.0):
        lower, upper = ends(before, threshold)
        assert ((before <= threshold).sum(axis=1) == upper - lower + 1).all()
        middle = median_rank(probs)
        assert ((lower <= middle) & (middle <= upper)).all()
        if previous is not None:
            assert ((lower <= previous[0]) & (upper >= previous[1])).all()
        previous = lower, upper
    assert (previous[1] - previous[0] == 8).all()


def test_probabilities_that_underflowed_and_no_images():
    lower, upper = ends(mass_before(np.array([[0.0, 0.0, 1.0, 0.0]])), 0.999)
    assert (lower[0], upper[0]) == (2, 2)
    assert mass_before(np.zeros((0, 4))).shape == (0, 4)
    assert np.isfinite(mass_before(np.full((2, 4), np.nan))).all()
    assert len(ends(np.zeros((0, 4)), 0.5)[0]) == 0
