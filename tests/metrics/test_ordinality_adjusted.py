import itertools

import numpy as np
import pytest

from ordinalclip.metrics.ordinality import (
    adjusted_ordinality,
    neighbours_out_of_order,
    off_diagonal_ordinality,
    shares_out_of_order,
    similarity,
    steps_away,
    violations,
)
from tests.metrics.ranks import arc, random_features


def slow_adjusted(similarity_RR):
    """Falls less rises, step by step."""
    ranks = range(len(similarity_RR))
    falls = rises = steps = 0
    for i, near in itertools.product(ranks, ranks):
        far = near + 1 if near > i else near - 1
        if near == i or far not in ranks:
            continue
        steps += 1
        falls += similarity_RR[i, near] > similarity_RR[i, far]
        rises += similarity_RR[i, near] < similarity_RR[i, far]
    return (falls - rises) / steps


@pytest.mark.parametrize("num_ranks", [3, 5, 12])
def test_equals_the_slow_loop(num_ranks):
    similarity_RR = similarity(random_features(num_ranks))
    assert adjusted_ordinality(similarity_RR) == pytest.approx(slow_adjusted(similarity_RR))


@pytest.mark.parametrize("num_ranks", [3, 4, 10, 101])
def test_perfect_order_is_1(num_ranks):
    assert adjusted_ordinality(similarity(arc(num_ranks))) == 1


def test_chance_is_0_exactly_over_all_orders_of_any_features():
    with_equal_ones = random_features(6)
    with_equal_ones[3] = with_equal_ones[1]
    for features in (random_features(6), arc(6), with_equal_ones):
        similarity_RR = similarity(features)
        found = [adjusted_ordinality(similarity_RR[np.ix_(o, o)]) for o in itertools.permutations(range(6))]
        assert np.mean(found) == pytest.approx(0, abs=1e-12)


def test_random_features_are_near_0():
    found = [adjusted_ordinality(similarity(random_features(20, seed=seed))) for seed in range(60)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 60**0.5
    assert np.std(found) < 0.1


def test_without_equal_similarities_it_is_the_share_with_its_chance_level_removed():
    similarity_RR = similarity(random_features(9))
    assert adjusted_ordinality(similarity_RR) == pytest.approx((off_diagonal_ordinality(similarity_RR) - 0.5) / 0.5)


def test_equal_features_have_no_order():
    assert adjusted_ordinality(similarity(np.ones((7, 3)))) == 0


def test_turning_the_order_round_changes_nothing():
    features = random_features(9)
    found, turned = (similarity(one) for one in (features, features[::-1]))
    assert adjusted_ordinality(found) == adjusted_ordinality(turned)
    np.testing.assert_allclose(shares_out_of_order(found), shares_out_of_order(turned)[::-1])


def test_steps_lead_away_from_the_rank_of_the_row():
    similarity_RR = np.array([[9.0, 5, 6, 1], [5, 9, 7, 3], [6, 7, 9, 2], [1, 3, 2, 9]])
    nan = np.nan
    np.testing.assert_array_equal(
        steps_away(similarity_RR), [[nan, nan, 1, -5], [nan, nan, nan, -4], [-1, nan, nan, nan], [-2, 1, nan, nan]]
    )
    np.testing.assert_array_equal(np.argwhere(violations(similarity_RR)), [[0, 2], [3, 1]])


def test_two_ranks_that_changed_places_are_named_first():
    order = [0, 1, 2, 3, 5, 4, 6, 7]
    similarity_RR = similarity(arc(8)[order])
    found = neighbours_out_of_order(similarity_RR)
    assert found[0] == {"rank": 4, "share": 1.0}
    # The two themselves may find a neighbour beyond the other more similar than it; nobody else finds anything.
    assert all(one["rank"] in (3, 5) and one["share"] < 0.5 for one in found[1:])
    assert neighbours_out_of_order(similarity_RR, first=15)[0]["rank"] == 19
    assert neighbours_out_of_order(similarity(arc(8))) == []


def test_shares_of_neighbours_are_on_average_what_the_score_lacks():
    similarity_RR = similarity(random_features(11))
    assert shares_out_of_order(similarity_RR).mean() == pytest.approx(1 - off_diagonal_ordinality(similarity_RR))
