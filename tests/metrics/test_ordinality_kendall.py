import itertools
import math

import numpy as np
import pytest

from ordinalclip.metrics.ordinality import kendall, largest_kendall, similarity
from tests.metrics.ranks import arc, random_features


def slow_tau_b(x, y):
    """Every pair of observations looked at."""
    score = tied_x = tied_y = 0
    pairs = list(itertools.combinations(range(len(x)), 2))
    for one, other in pairs:
        score += np.sign(x[one] - x[other]) * np.sign(y[one] - y[other])
        tied_x += x[one] == x[other]
        tied_y += y[one] == y[other]
    return score / math.sqrt((len(pairs) - tied_x) * (len(pairs) - tied_y))


def pairs_of(similarity_RR):
    pairs = list(itertools.combinations(range(len(similarity_RR)), 2))
    return [j - i for i, j in pairs], [1 - similarity_RR[i, j] for i, j in pairs]


@pytest.mark.parametrize("num_ranks", [3, 5, 12])
def test_equals_the_slow_loop(num_ranks):
    similarity_RR = similarity(random_features(num_ranks))
    assert kendall(similarity_RR) == pytest.approx(slow_tau_b(*pairs_of(similarity_RR)))


def test_equal_dissimilarities_are_tied():
    features = np.repeat(random_features(4), 2, axis=0)
    similarity_RR = similarity(features).round(6)
    assert kendall(similarity_RR) == pytest.approx(slow_tau_b(*pairs_of(similarity_RR)))
    assert kendall(similarity(np.ones((5, 3)))) == 0


@pytest.mark.parametrize("num_ranks", [3, 4, 7, 30])
def test_perfect_order_is_as_large_as_can_be(num_ranks):
    """On this arc ranks that are further apart are less similar, wherever they are."""
    position = np.arange(num_ranks) + 1e-3 * np.random.default_rng(0).random(num_ranks)
    similarity_RR = -np.abs(position[:, None] - position)
    assert kendall(similarity_RR) == pytest.approx(largest_kendall(num_ranks), abs=1e-9)


def test_equal_steps_reach_1():
    ranks = np.arange(9.0)
    assert kendall(-np.abs(ranks[:, None] - ranks)) == pytest.approx(1)


def test_the_largest_in_closed_form():
    assert largest_kendall(3) == pytest.approx(math.sqrt(2 / 3))  # three pairs, of which two are a rank apart
    assert largest_kendall(101) == pytest.approx(0.99344, abs=1e-5)
    assert math.isnan(largest_kendall(2))


def test_random_features_are_near_0_and_direction_is_nothing():
    found = [kendall(similarity(random_features(20, seed=seed))) for seed in range(60)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 60**0.5
    features = random_features(9)
    assert kendall(similarity(features)) == pytest.approx(kendall(similarity(features[::-1])))
    assert kendall(similarity(arc(40))) > 0.8
