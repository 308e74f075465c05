import numpy as np
import pytest
from scipy.stats import norm

from ordinalclip.scoring.intervals import (
    bootstrap_mean_interval,
    bootstrap_means,
    bootstrap_scores,
    clustered_standard_error,
    percentile_interval,
    resample_weights,
)


def test_spread_of_the_mean_in_closed_form():
    values = np.random.default_rng(0).exponential(size=400)
    draws = bootstrap_means(values, draws=4000)
    exact = values.std() / 20  # √((n-1)/n) s/√n: the variance of a bootstrap mean, exactly
    assert draws.mean() == pytest.approx(values.mean(), abs=4 * exact / np.sqrt(4000))
    assert draws.std() == pytest.approx(exact, rel=4 / np.sqrt(2 * 4000))
    interval = bootstrap_mean_interval(values, draws=4000)
    half = norm.ppf(0.975) * exact
    assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.2 * half)
    assert interval.num_groups == 400


def test_groups_of_equal_size_are_their_means():
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(50), 4)
    values = rng.normal(size=50)[group] + 0.1 * rng.normal(size=200)
    means = values.reshape(50, 4).mean(axis=1)
    draws = bootstrap_means(values, group, draws=4000)
    assert draws.std() == pytest.approx(means.std() / np.sqrt(50), rel=4 / np.sqrt(2 * 4000))
    assert draws.std() > 1.7 * bootstrap_means(values, draws=1000).std()  # images of one subject are no new evidence
    assert clustered_standard_error(values, group) == pytest.approx(means.std(ddof=1) / np.sqrt(50))
    assert clustered_standard_error(values) == pytest.approx(values.std(ddof=1) / np.sqrt(200))


def test_groups_of_different_size_agree_with_linearisation():
    rng = np.random.default_rng(2)
    group = rng.integers(60, size=400) ** 2 // 60
    values = rng.normal(size=60)[group] + rng.normal(size=400)
    assert bootstrap_means(values, group, draws=4000).std() == pytest.approx(
        clustered_standard_error(values, group), rel=0.1
    )


def test_weights_are_drawn_subjects():
    pieces = list(resample_weights(7, 100, seed=3))
    weights = np.concatenate(pieces)
    assert weights.shape == (100, 7)
    assert (weights.sum(axis=1) == 7).all()
    many = np.concatenate(list(resample_weights(7, 20_000, seed=3)))
    assert many.var(axis=0) == pytest.approx(np.full(7, 6 / 7), rel=0.05)  # multinomial: n p (1 - p)


def test_pairs_share_their_draws():
    rng = np.random.default_rng(4)
    one = rng.normal(size=(100, 1))
    two = np.concatenate([one, one + 0.5], axis=1)
    both = bootstrap_means(two, draws=50, seed=9)
    assert both[:, 1] - both[:, 0] == pytest.approx(np.full(50, 0.5))
    assert bootstrap_means(one[:, 0], draws=50, seed=9) == pytest.approx(both[:, 0])


def test_any_score_is_drawn_like_the_means():
    rng = np.random.default_rng(5)
    group, values = rng.integers(10, size=60), rng.normal(size=60)
    drawn = bootstrap_scores(lambda weights: float(weights @ values / weights.sum()), group, 60, draws=30, seed=1)
    assert drawn == pytest.approx(bootstrap_means(values, group, draws=30, seed=1))


def test_intervals_cover_what_they_say():
    rng = np.random.default_rng(6)
    covered = 0
    for trial in range(200):
        interval = bootstrap_mean_interval(rng.exponential(size=100), draws=200, level=0.9, seed=trial)
        covered += interval.low <= 1 <= interval.high
    assert 0.83 <= covered / 200 <= 0.95


def test_nothing_is_known_from_one_subject():
    interval = bootstrap_mean_interval(np.arange(5.0), np.zeros(5, int))
    assert np.isnan(interval.low)
    assert interval.num_groups == 1
    assert np.isnan(percentile_interval(np.full(3, np.nan), 5).high)
    assert np.isnan(clustered_standard_error(np.arange(5.0), np.zeros(5, int)))
