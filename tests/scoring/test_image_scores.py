"""Scores of weighted images are those of images that are repeated."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from ordinalclip.scoring.image_scores import (
    order_of,
    weighted_kappa,
    weighted_kendall,
    weighted_macro_mean,
    weighted_score,
    weighted_spearman,
    weighted_worst_mean,
)
from ordinalclip.scoring.predictions import Predictions
from ordinalclip.scoring.scores import compute_scores
from tests.metrics.test_collection import VALUES, sample

NAMES = ("qwk", "amae", "mmae", "spearman", "kendall", "aurc", "ece", "tce", "tce_max")


def predictions(rows: np.ndarray, readout: str) -> Predictions:
    probs, rank = (part.numpy() for part in sample(80))
    probs[:6] = probs[0]  # of equal sureness
    return Predictions(probs[rows], rank[rows], list("abcde"), np.array(VALUES), "", readout)


@pytest.mark.parametrize("readout", ["expectation", "argmax"])
@pytest.mark.parametrize("name", NAMES)
def test_a_weight_is_so_many_images(name: str, readout: str) -> None:
    weights = np.random.default_rng(0).integers(0, 4, size=80)
    score = weighted_score(name, predictions(np.arange(80), readout))
    assert score is not None
    for counts in (np.ones(80), weights.astype(float)):
        repeated = predictions(np.repeat(np.arange(80), counts.astype(int)), readout)
        assert score(counts) == pytest.approx(compute_scores(repeated, [name])[name], rel=1e-5)


def test_means_of_images_are_left_to_the_images() -> None:
    whole = predictions(np.arange(80), "expectation")
    assert weighted_score("mae", whole) is weighted_score("worst_group_mae", whole) is None


def test_formulas_by_scikit_learn_scipy_and_pandas() -> None:
    rng = np.random.default_rng(0)
    true, mode, weights = rng.integers(4, size=50), rng.integers(4, size=50), rng.integers(3, size=50)
    again, drawn = np.repeat(np.arange(50), weights), weights.astype(float)
    expected = cohen_kappa_score(true[again], mode[again], weights="quadratic", labels=range(4))
    assert weighted_kappa(true, mode, drawn, 4) == pytest.approx(expected)
    one, other = order_of(-1.5 * true), order_of(0.1 * mode)  # what the values are is nothing to it
    assert weighted_spearman(one, other, drawn) == pytest.approx(-stats.spearmanr(true[again], mode[again]).statistic)
    assert weighted_kendall(one, other, drawn) == pytest.approx(-stats.kendalltau(true[again], mode[again]).statistic)
    error = np.abs(true - mode)
    by_rank = pd.Series(error[again]).groupby(true[again]).mean()
    assert weighted_macro_mean(error, true, drawn, 9) == pytest.approx(by_rank.mean())
    assert weighted_worst_mean(error, true, drawn, 9) == pytest.approx(by_rank.max())


def test_ranks_that_are_not_drawn_are_left_out() -> None:
    rank, error = np.array([0, 0, 2, 2]), np.array([1.0, 3.0, 10.0, 20.0])
    assert weighted_macro_mean(error, rank, np.array([1.0, 3.0, 0.0, 0.0]), 3) == 2.5
    assert weighted_worst_mean(error, rank, np.array([1.0, 3.0, 0.0, 0.0]), 3) == 2.5


def test_what_is_constant_has_no_correlation() -> None:
    same, weights = np.zeros(4, dtype=int), np.ones(4)
    assert weighted_kappa(same, same, weights, 3) == 0
    assert weighted_spearman(same, np.arange(4), weights) == 0
    assert weighted_kendall(np.arange(4), same, weights) == 0
