"""Estimates with confidence intervals: means over seeds or folds, differences between methods, Holm's correction.

The interval of a difference between two methods has to hold for other seeds and for other test images. Its variance is
the sum of independent components: training (over seeds) and the choice of test subjects (by a bootstrap). Shapes: N
images of G subjects, S seeds, K test sets, B bootstrap draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from ordinalclip.scoring.intervals import Integers, bootstrap_means, group_index

Floats = npt.NDArray[np.floating]
NUM_DRAWS = 2000


@dataclass(frozen=True)
class Estimate:
    """An estimate with a confidence interval.

    Attributes:
        value: the estimate.
        error: its standard error; nan if not known.
        freedom: degrees of freedom of the error.
        low: lower end of the interval; nan if the error is not known.
        high: upper end of the interval.
        p: p-value of the two-sided test against 0; nan if the error is not known.
        level: nominal coverage of the interval.
    """

    value: float
    error: float
    freedom: float
    low: float
    high: float
    p: float
    level: float


def student_t(value: float, error: float, freedom: float, level: float = 0.95) -> Estimate:
    """Student's t interval and test of an estimate.

    Args:
        value: the estimate.
        error: its standard error; nan if not known.
        freedom: degrees of freedom of the error; inf gives the normal distribution.
        level: coverage of the interval.
    """
    if not (np.isfinite(error) and freedom > 0):
        return Estimate(value, float("nan"), float("nan"), float("nan"), float("nan"), float("nan"), level)
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    p_without_error = 1.0 if value == 0 else 0.0
    p = p_without_error if error == 0 else float(2 * stats.t.sf(abs(value) / error, freedom))
    return Estimate(float(value), float(error), float(freedom), float(value - half), float(value + half), p, level)


def mean_estimate(values: Floats, level: float = 0.95, overlap: float = 0.0) -> Estimate:
    """Student's t interval of the mean of repetitions [n].

    Args:
        values: one score per repetition.
        level: coverage of the interval.
        overlap: ρ = test images / training images, if the repetitions are folds or resamplings of one data set. They
            share training images, so the variance of the mean is (1/n + ρ) s² instead of s²/n [Nadeau and Bengio,
            Inference for the generalization error, 2003]. 0 for independent repetitions.
    """
    number = len(values)
    if number < 2:
        return student_t(float(np.mean(values)) if number else float("nan"), float("nan"), 0, level)
    error = float(np.sqrt((1 / number + overlap) * np.var(values, ddof=1)))
    return student_t(float(np.mean(values)), error, number - 1, level)


def welch_satterthwaite(variances: Floats, freedoms: Floats) -> float:
    """Degrees of freedom of a sum of independent variance estimates: (Σ v)² / Σ (v² / f); inf if all are 0."""
    weight = np.square(variances) / freedoms
    total = float(weight.sum())
    return float(np.square(variances.sum()) / total) if total > 0 else float("inf")


@dataclass(frozen=True)
class VarianceComponent:
    """One component of the variance of an estimate.

    Attributes:
        variance: estimated variance.
        freedom: degrees of freedom of this variance.
    """

    variance: float
    freedom: float


def difference_estimate(value: float, components: Sequence[VarianceComponent], level: float = 0.95) -> Estimate:
    """Student's t interval of a difference, with degrees of freedom by Welch and Satterthwaite.

    Args:
        value: the difference.
        components: independent components of its variance; if empty, the error is not known.
        level: coverage of the interval.
    """
    if not components:
        return student_t(value, float("nan"), 0, level)
    variances = np.array([component.variance for component in components])
    freedoms = np.array([component.freedom for component in components])
    return student_t(value, float(np.sqrt(variances.sum())), welch_satterthwaite(variances, freedoms), level)


def seed_variance(a: Floats, b: Floats, *, paired: bool) -> list[VarianceComponent]:
    """Variance of the difference of two means over seeds, from the scores [S] and [S'] of the runs.

    Args:
        a: scores of one method's runs.
        b: scores of the other's.
        paired: both have the same seeds in the same order, so the variance is that of the paired differences.
    """
    samples = [a - b] if paired else [a, b]
    return [VarianceComponent(float(np.var(one, ddof=1)) / len(one), len(one) - 1.0) for one in samples if len(one) > 1]


def image_variance(
    values: Floats, subject: Integers | None, *, draws: int = NUM_DRAWS, seed: int = 0
) -> list[VarianceComponent]:
    """Variance of a mean over test images, by a bootstrap over subjects.

    Args:
        values: difference of the two methods' errors per image [N], each a mean over runs.
        subject: index of each image's subject [N]; None if each image is its own subject.
        draws: number of bootstrap draws.
        seed: of the draws.

    Returns:
        One component, or none if there is a single subject.
    """
    means = bootstrap_means(values, subject, draws=draws, seed=seed)
    return bootstrap_variance(means, group_index(subject, len(values))[1])


def bootstrap_variance(draws: Floats, num_groups: int) -> list[VarianceComponent]:
    """Variance of a difference from its bootstrap draws [B], corrected by G/(G-1)."""
    if num_groups < 2:
        return []
    return [VarianceComponent(float(np.var(draws)) * num_groups / (num_groups - 1), num_groups - 1.0)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusts p-values for multiple tests [Holm, A simple sequentially rejective multiple test procedure, 1979].

    The smallest of m is multiplied by m, the next by m - 1, …, monotonically and at most 1. Rejecting those ≤ α bounds
    the probability of any false rejection by α, however the tests depend on each other.

    Args:
        p_values: nan for tests that were not made; they are not counted and stay nan.

    Returns:
        Adjusted p-values, in the order given.
    """
    p = np.asarray(p_values, dtype=float)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return [float(value) for value in adjusted]
