"""The guarantee itself, on many draws of calibration and test images that are exchangeable."""

import numpy as np
import pytest
from scipy.stats import beta, binom, binomtest

from ordinalclip.calibration.conformal import (
    coverage_range,
    interval_ends,
    mass_before,
    median_rank,
    min_images,
    threshold_of,
    threshold_position,
    wilson_interval,
)
from tests.calibration.made import draw, softmax

DRAWS = 3000


def covered(num_images, level, num_ranks, sharpness, seed):
    """In how many of `DRAWS` draws of n calibration images and one more the set of that one holds its rank."""
    rng = np.random.default_rng(seed)
    logits, rank = draw(DRAWS * (num_images + 1), num_ranks, rng, sharpness)
    before = mass_before(softmax(logits))
    scores = before[np.arange(len(rank)), rank].reshape(DRAWS, num_images + 1)
    hits = 0
    for draw_scores in scores:
        threshold = threshold_of(draw_scores[:-1], level)
        assert threshold is not None
        hits += draw_scores[-1] <= threshold
    lower, upper = interval_ends(before, float(np.median(scores)))
    assert (((lower <= rank) & (rank <= upper)) == (scores.ravel() <= np.median(scores))).all()
    return hits


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
@pytest.mark.parametrize(("num_images", "num_ranks", "sharpness"), [(19, 6, 1.0), (40, 6, 4.0), (25, 2, 1.0)])
def test_coverage_is_what_is_stated_or_more(level, num_images, num_ranks, sharpness):
    hits = covered(num_images, level, num_ranks, sharpness, seed=int(1000 * level) + num_images)
    assert hits >= binom.ppf(1e-4, DRAWS, level)


def test_without_ties_it_is_hardly_more():
    num_images, level = 39, 0.9
    scores = np.random.default_rng(0).random((DRAWS, num_images + 1))
    hits = sum(row[-1] <= (threshold_of(row[:-1], level) or 0) for row in scores)
    exact = threshold_position(num_images, level) / (num_images + 1)
    assert level <= exact < level + 1 / (num_images + 1)
    assert binom.ppf(1e-4, DRAWS, exact) <= hits <= binom.ppf(1 - 1e-4, DRAWS, exact)


def test_how_many_images_a_level_takes():
    assert [min_images(level) for level in (0.8, 0.9, 0.95, 0.5)] == [4, 9, 19, 1]
    for level in (0.8, 0.9, 0.95):
        scores = np.arange(min_images(level), dtype=float)
        assert threshold_of(scores, level) == scores.max()
        assert threshold_of(scores[1:], level) is None
    assert threshold_of(np.zeros(0), 0.9) is None
    assert threshold_position(9, 0.9) == 9  # (9 + 1) 0.9 is 9, and not 9.000000000000002
    assert threshold_position(99, 0.95) == 95


def test_larger_levels_have_larger_thresholds():
    scores = np.random.default_rng(0).random(100)
    thresholds = [threshold_of(scores, level) for level in (0.5, 0.8, 0.9, 0.95)]
    assert thresholds == sorted(thresholds)
    assert threshold_of(scores, 0.8) == np.sort(scores)[80]


def test_spread_is_where_the_coverage_of_such_draws_lies():
    rng = np.random.default_rng(0)
    # With uniform scores the coverage of a threshold is the threshold.
    coverage = [threshold_of(rng.random(50), 0.9) for _ in range(DRAWS)]
    low, high = coverage_range(50, 0.9)
    inside = np.mean([low <= one <= high for one in coverage])
    assert inside == pytest.approx(0.9, abs=0.025)
    assert (low, high) == pytest.approx(beta.ppf([0.05, 0.95], 46, 5))


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (9, 10), (10, 10), (600, 640)])
def test_wilson_equals_scipy(hits, total):
    expected = binomtest(hits, total).proportion_ci(0.95, method="wilson")
    assert wilson_interval(hits, total) == pytest.approx((expected.low, expected.high))


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
    assert [int(end[0]) for end in interval_ends(before, 0.79)] == [1, 2]
    assert [int(end[0]) for end in interval_ends(before, 0.8)] == [0, 2]


def test_sets_have_no_gap_hold_the_median_and_grow_with_the_threshold():
    probs = softmax(draw(300, 9, np.random.default_rng(1), 2.0)[0])
    before = mass_before(probs)
    previous = None
    for threshold in (0.0, 0.2, 0.5, 0.8, 0.95, 1.0):
        lower, upper = interval_ends(before, threshold)
        assert ((before <= threshold).sum(axis=1) == upper - lower + 1).all()
        middle = median_rank(probs)
        assert ((lower <= middle) & (middle <= upper)).all()
        if previous is not None:
            assert ((lower <= previous[0]) & (upper >= previous[1])).all()
        previous = lower, upper
    assert (previous[1] - previous[0] == 8).all()


def test_probabilities_that_underflowed_and_no_images():
    lower, upper = interval_ends(mass_before(np.array([[0.0, 0.0, 1.0, 0.0]])), 0.999)
    assert (lower[0], upper[0]) == (2, 2)
    assert mass_before(np.zeros((0, 4))).shape == (0, 4)
    assert np.isfinite(mass_before(np.full((2, 4), np.nan))).all()
    assert len(interval_ends(np.zeros((0, 4)), 0.5)[0]) == 0
