import numpy as np
import pytest
from scipy import stats

from analysis.estimates import mean_estimate, student_t, welch_satterthwaite


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
