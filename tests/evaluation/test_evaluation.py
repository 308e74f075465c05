import math

import numpy as np
import pytest

from ordinalclip.evaluation.evaluation import constant_baseline


def test_by_hand():
    # training: median 1 (the lower of 1 and 2), majority 3
    found = constant_baseline([0, 0, 1, 1, 2, 3, 3, 3], [0, 1, 2, 3, 3], [10.0, 20.0, 40.0, 80.0])
    assert found["median_rank"] == 1
    assert found["majority_rank"] == 3
    assert found["mae"] == pytest.approx((1 + 0 + 1 + 2 + 2) / 5)
    assert found["mae_value"] == pytest.approx((10 + 0 + 20 + 60 + 60) / 5)
    assert found["accuracy"] == pytest.approx(2 / 5)
    assert found["accuracy_within_1"] == pytest.approx(3 / 5)
    assert found["qwk"] == found["spearman"] == 0


def test_no_constant_beats_it_on_the_training_ranks():
    ranks = np.random.default_rng(0).integers(0, 9, 301) ** 2 // 9
    found = constant_baseline(ranks, ranks, range(8))
    assert found["mae"] == pytest.approx(min(np.abs(ranks - c).mean() for c in range(8)))
    assert found["accuracy"] == pytest.approx(max((ranks == c).mean() for c in range(8)))


def test_ties_go_to_the_lowest_rank():
    found = constant_baseline([2, 1], [1], [0.0, 1.0, 2.0])
    assert (found["median_rank"], found["majority_rank"]) == (1, 1)


def test_nothing_to_predict_and_nothing_to_learn_from():
    assert math.isnan(constant_baseline([1], [], [0.0, 1.0])["mae"])
    with pytest.raises(ValueError, match="training ranks"):
        constant_baseline([], [1], [0.0, 1.0])
