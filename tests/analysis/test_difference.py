import numpy as np
import pytest
from scipy import stats

from analysis.estimates import Floats, Source, difference, of_draws, of_images, of_seeds, over_test_sets


def test_seeds_alone_are_the_t_tests_of_scipy() -> None:
    a, b = np.array([1.0, 2.0, 4.0, 3.0]), np.array([0.5, 2.5, 2.0, 1.0])
    for paired, reference in ((True, stats.ttest_rel(a, b)), (False, stats.ttest_ind(a, b, equal_var=False))):
        found = difference(a.mean() - b.mean(), of_seeds(a, b, paired=paired))
        interval = reference.confidence_interval(0.95)
        assert (found.p, found.low, found.high) == pytest.approx((reference.pvalue, interval.low, interval.high))


def test_a_single_run_of_each_has_no_chance_in_training() -> None:
    assert of_seeds(np.array([1.0]), np.array([2.0]), paired=True) == []
    assert of_seeds(np.array([1.0]), np.array([2.0]), paired=False) == []
    assert np.isnan(difference(1.0, []).p)


def test_images_alone_have_the_standard_error_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=400)
    (source,) = of_images(values, None, draws=4000)
    assert source.variance == pytest.approx(np.var(values, ddof=1) / 400, rel=0.06)
    assert source.freedom == 399


def test_images_of_a_subject_count_as_one() -> None:
    rng = np.random.default_rng(1)
    subject = np.repeat(np.arange(40), 10)
    values = np.repeat(rng.normal(size=40), 10)  # all images of a subject alike
    (source,) = of_images(values, subject, draws=4000)
    assert source.variance == pytest.approx(np.var(values[::10], ddof=1) / 40, rel=0.08)
    assert of_images(values[:10], subject[:10]) == []


def test_draws_of_any_score() -> None:
    assert of_draws(np.array([1.0, 3.0]), 3) == [Source(1.5, 2.0)]
    assert of_draws(np.array([1.0, 3.0]), 1) == []


def test_sources_add_up() -> None:
    found = difference(1.0, [Source(0.09, 4.0), Source(0.16, 100.0)])
    assert found.error == pytest.approx(0.5)
    assert found.freedom == pytest.approx(0.25**2 / (0.09**2 / 4 + 0.16**2 / 100))
    assert found.high - 1 == pytest.approx(0.5 * stats.t.ppf(0.975, found.freedom))


def _tested(rng: np.random.Generator, seeds: int, training: float, subjects: int, a_subject: int) -> Floats:
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
        a, b = (_tested(rng, seeds, training, subjects, a_subject) for _ in range(2))
        value, images = a.mean() - b.mean(), (a.mean(0) - b.mean(0))
        of_training = of_seeds(a.mean(1), b.mean(1), paired=True)
        of_subjects = of_images(images, group, draws=200)
        false.append(difference(value, of_training + of_subjects).p < 0.05)
        without_training.append(difference(value, of_subjects).p < 0.05)
        without_subjects.append(difference(value, of_training).p < 0.05)
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
        a, b = (_tested(rng, 4, 0.15, 60, 4) for _ in range(2))
        a += 0.3
        sources = of_seeds(a.mean(1), b.mean(1), paired=True) + of_images(a.mean(0) - b.mean(0), group, draws=200)
        found = difference(a.mean() - b.mean(), sources)
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
        corrected.append(over_test_sets(differences, 20 / 80).p < 0.05)
        plain.append(over_test_sets(differences, 0.0).p < 0.05)
    assert np.mean(corrected) < 0.055
    assert np.mean(plain) > np.mean(corrected)
