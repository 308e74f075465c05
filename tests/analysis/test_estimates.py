"""Intervals and tests against scipy's and by simulation."""

import numpy as np
import pytest
from scipy import stats

from analysis.estimates import (
    Floats,
    VarianceComponent,
    bootstrap_variance,
    difference_estimate,
    holm,
    image_variance,
    mean_estimate,
    seed_variance,
    student_t,
    welch_satterthwaite,
)


def test_mean_of_independent_repetitions_is_scipy_s() -> None:
    values = np.array([0.3, 0.5, 0.45, 0.61])
    found = mean_estimate(values, level=0.9)
    reference = stats.ttest_1samp(values, 0.0)
    interval = reference.confidence_interval(0.9)
    assert (found.value, found.freedom) == (pytest.approx(values.mean()), 3)
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert found.p == pytest.approx(reference.pvalue)


def test_nadeau_and_bengio_by_hand() -> None:
    # Differences 1, 2, 3, 4 over four folds of 10 test and 30 training images: s² = 5/3, mean 2.5,
    # t = 2.5 / √((1/4 + 1/3) · 5/3) = 2.5 / 0.98601 = 2.53546 with three degrees of freedom.
    found = mean_estimate(np.array([1.0, 2.0, 3.0, 4.0]), overlap=10 / 30)
    assert found.value / found.error == pytest.approx(2.53546, abs=1e-5)
    assert found.p == pytest.approx(2 * stats.t.sf(2.53546, 3), abs=1e-6)
    assert found.high - found.value == pytest.approx(3.18245 * 0.98601, abs=1e-4)  # the table of t: 3.182 at 3


def test_one_repetition_has_no_error() -> None:
    found = mean_estimate(np.array([0.5]))
    assert found.value == 0.5
    assert np.isnan([found.error, found.low, found.high, found.p]).all()


def test_certainty() -> None:
    assert (student_t(0.0, 0.0, 4).p, student_t(1.0, 0.0, 4).p) == (1.0, 0.0)


def test_welch_s_degrees_of_freedom_are_scipy_s() -> None:
    a, b = np.array([1.0, 2.0, 4.0, 3.0]), np.array([0.0, 5.0, 9.0])
    variances = np.array([np.var(a, ddof=1) / 4, np.var(b, ddof=1) / 3])
    reference = stats.ttest_ind(a, b, equal_var=False)
    assert welch_satterthwaite(variances, np.array([3.0, 2.0])) == pytest.approx(reference.df)
    assert welch_satterthwaite(np.zeros(2), np.ones(2)) == np.inf


def test_seeds_alone_are_the_t_tests_of_scipy() -> None:
    a, b = np.array([1.0, 2.0, 4.0, 3.0]), np.array([0.5, 2.5, 2.0, 1.0])
    for paired, reference in ((True, stats.ttest_rel(a, b)), (False, stats.ttest_ind(a, b, equal_var=False))):
        found = difference_estimate(a.mean() - b.mean(), seed_variance(a, b, paired=paired))
        interval = reference.confidence_interval(0.95)
        assert (found.p, found.low, found.high) == pytest.approx((reference.pvalue, interval.low, interval.high))


def test_a_single_run_of_each_has_no_chance_in_training() -> None:
    assert seed_variance(np.array([1.0]), np.array([2.0]), paired=True) == []
    assert seed_variance(np.array([1.0]), np.array([2.0]), paired=False) == []
    assert np.isnan(difference_estimate(1.0, []).p)


def test_images_alone_have_the_standard_error_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=400)
    (source,) = image_variance(values, None, draws=4000)
    assert source.variance == pytest.approx(np.var(values, ddof=1) / 400, rel=0.06)
    assert source.freedom == 399


def test_images_of_a_subject_count_as_one() -> None:
    rng = np.random.default_rng(1)
    subject = np.repeat(np.arange(40), 10)
    values = np.repeat(rng.normal(size=40), 10)  # all images of a subject alike
    (source,) = image_variance(values, subject, draws=4000)
    assert source.variance == pytest.approx(np.var(values[::10], ddof=1) / 40, rel=0.08)
    assert image_variance(values[:10], subject[:10]) == []


def test_draws_of_any_score() -> None:
    assert bootstrap_variance(np.array([1.0, 3.0]), 3) == [VarianceComponent(1.5, 2.0)]
    assert bootstrap_variance(np.array([1.0, 3.0]), 1) == []


def test_sources_add_up() -> None:
    found = difference_estimate(1.0, [VarianceComponent(0.09, 4.0), VarianceComponent(0.16, 100.0)])
    assert found.error == pytest.approx(0.5)
    assert found.freedom == pytest.approx(0.25**2 / (0.09**2 / 4 + 0.16**2 / 100))
    assert found.high - 1 == pytest.approx(0.5 * stats.t.ppf(0.975, found.freedom))


def _draw_errors(rng: np.random.Generator, seeds: int, training: float, subjects: int, a_subject: int) -> Floats:
    """Errors [S, N] of a method: a chance of each training, what each subject does to it, and each image."""
    trained = rng.normal(0, training, (seeds, 1))
    subject = np.repeat(rng.normal(0, 1, subjects), a_subject)
    return trained + subject + rng.normal(0, 0.5, (seeds, subjects * a_subject))


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "training"), [(3, 0.3), (5, 0.3), (5, 0.0), (3, 0.5)])
def test_methods_that_are_equal_are_seldom_told_apart(seeds: int, training: float) -> None:
    """5 % is what is claimed; without one of the sources of chance it would be two to six times as often."""
    rng = np.random.default_rng(2)
    subjects, a_subject, false, without_training, without_subjects = 60, 4, [], [], []
    group = np.repeat(np.arange(subjects), a_subject)
    for _ in range(400):
        a, b = (_draw_errors(rng, seeds, training, subjects, a_subject) for _ in range(2))
        value, images = a.mean() - b.mean(), (a.mean(0) - b.mean(0))
        of_training = seed_variance(a.mean(1), b.mean(1), paired=True)
        of_subjects = image_variance(images, group, draws=200)
        false.append(difference_estimate(value, of_training + of_subjects).p < 0.05)
        without_training.append(difference_estimate(value, of_subjects).p < 0.05)
        without_subjects.append(difference_estimate(value, of_training).p < 0.05)
    assert 0.005 <= np.mean(false) < 0.08
    if training > 0:
        assert np.mean(without_training) > 0.1
        assert max(np.mean(without_training), np.mean(without_subjects)) > 0.15


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(60), 4)
    covered = []
    for _ in range(400):
        a, b = (_draw_errors(rng, 4, 0.15, 60, 4) for _ in range(2))
        a += 0.3
        sources = seed_variance(a.mean(1), b.mean(1), paired=True) + image_variance(
            a.mean(0) - b.mean(0), group, draws=200
        )
        found = difference_estimate(a.mean() - b.mean(), sources)
        covered.append(found.low <= 0.3 <= found.high)
    assert 0.92 <= np.mean(covered) <= 0.995


@pytest.mark.slow
def test_folds_of_one_data_set_are_not_independent() -> None:
    """Two learners of equal worth (means of their own half of the features) over five folds of 100 images each time."""
    rng = np.random.default_rng(4)
    corrected, plain = [], []
    for _ in range(1500):
        target = rng.normal(size=(100, 2))  # each learner predicts its own column by the training mean
        folds = rng.permutation(100).reshape(5, 20)
        scores = []
        for fold in folds:
            train = np.delete(target, fold, axis=0)
            scores.append(np.abs(target[fold] - train.mean(0)).mean(0))
        differences = np.array(scores) @ [1.0, -1.0]
        corrected.append(mean_estimate(differences, overlap=20 / 80).p < 0.05)
        plain.append(mean_estimate(differences).p < 0.05)
    assert np.mean(corrected) < 0.055
    assert np.mean(plain) > np.mean(corrected)


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        # Holm 1979 by hand: 0.01·4, 0.02·3, max(0.06, 0.03·2), max(0.06, 0.04·1)
        ([0.01, 0.04, 0.03, 0.02], [0.04, 0.06, 0.06, 0.06]),
        ([0.5, 0.9], [1.0, 1.0]),
        ([0.001, 0.001, 0.2], [0.003, 0.003, 0.2]),
    ],
)
def test_by_hand(raw: list[float], adjusted: list[float]) -> None:
    np.testing.assert_allclose(holm(raw), adjusted)


def test_what_was_not_tested_is_not_counted() -> None:
    np.testing.assert_allclose(holm([np.nan, 0.02, np.nan, 0.04]), [np.nan, 0.04, np.nan, 0.04])


def test_some_false_rejection_is_as_likely_as_claimed() -> None:
    rng = np.random.default_rng(0)
    rejected = [min(holm(rng.random(6))) <= 0.05 for _ in range(4000)]
    assert 0.035 < np.mean(rejected) < 0.065
