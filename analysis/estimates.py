"""A number with its uncertainty: Student's t on an estimate, its standard error and its degrees of freedom."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from ordinalclip.scoring.intervals import Integers, bootstrap_means, group_index

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Estimate:
    """An estimate with an interval.

    Attributes:
        value: the estimate.
        error: its standard error; nan where it is not known.
        freedom: degrees of freedom of the error.
        low: lower end of the interval; nan where the error is not known.
        high: its upper end.
        p: of the two-sided test that the truth is 0; nan where the error is not known.
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
        error: its standard error; 0 is certainty, nan is not known.
        freedom: degrees of freedom of the error; inf is the normal distribution.
        level: coverage of the interval.
    """
    if not (np.isfinite(error) and freedom > 0):
        return Estimate(value, float("nan"), float("nan"), float("nan"), float("nan"), float("nan"), level)
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    certain = 1.0 if value == 0 else 0.0
    p = certain if error == 0 else float(2 * stats.t.sf(abs(value) / error, freedom))
    return Estimate(float(value), float(error), float(freedom), float(value - half), float(value + half), p, level)


def mean_estimate(values: Floats, level: float = 0.95, overlap: float = 0.0) -> Estimate:
    """The mean of repetitions [n] with Student's t interval.

    Args:
        values: one score a repetition.
        level: coverage of the interval.
        overlap: ρ = test images / training images where the repetitions are resamplings of one data set (folds), which
            share training images and are not independent: the variance of the mean is (1/n + ρ) s² in place of s²/n
            [Nadeau and Bengio, Inference for the generalization error, 2003]. 0: independent repetitions.
    """
    number = len(values)
    if number < 2:
        return student_t(float(np.mean(values)) if number else float("nan"), float("nan"), 0, level)
    error = float(np.sqrt((1 / number + overlap) * np.var(values, ddof=1)))
    return student_t(float(np.mean(values)), error, number - 1, level)


def welch_satterthwaite(variances: Floats, freedoms: Floats) -> float:
    """Degrees of freedom of a sum of independent variance estimates: (Σ v)² / Σ (v² / f); inf where all are 0."""
    weight = np.square(variances) / freedoms
    total = float(weight.sum())
    return float(np.square(variances.sum()) / total) if total > 0 else float("inf")


# MERGED: """How far one method is ahead of another: a difference whose error counts every source of chance that can be seen.
#
# A is ahead of B by so much on these test images with these trained models. With other images it would be another
# number, and with other seeds as well; the interval of a claim about methods has to hold for both. N images of G
# subjects, S seeds, K test sets.
# """


DRAWS = 2000


@dataclass(frozen=True)
class Source:
    """One source of chance.

    Attributes:
        variance: that it adds to an estimate.
        freedom: degrees of freedom of the variance.
    """

    variance: float
    freedom: float


def difference(value: float, sources: Sequence[Source], level: float = 0.95) -> Estimate:
    """A difference whose independent sources of chance add up; degrees of freedom by Welch and Satterthwaite.

    Args:
        value: the difference.
        sources: of chance; without any the error is not known.
        level: coverage of the interval.
    """
    if not sources:
        return student_t(value, float("nan"), 0, level)
    variances = np.array([source.variance for source in sources])
    freedoms = np.array([source.freedom for source in sources])
    return student_t(value, float(np.sqrt(variances.sum())), welch_satterthwaite(variances, freedoms), level)


def of_seeds(a: Floats, b: Floats, *, paired: bool) -> list[Source]:
    """Chance in training: what the runs' scores [S] and [S'] vary by, over their number.

    Args:
        a: scores of one method's runs.
        b: scores of the other's.
        paired: both have the same seeds in the same order: their differences vary, not they themselves.
    """
    repeated = [a - b] if paired else [a, b]
    return [Source(float(np.var(one, ddof=1)) / len(one), len(one) - 1.0) for one in repeated if len(one) > 1]


def of_images(values: Floats, subject: Integers | None, *, draws: int = DRAWS, seed: int = 0) -> list[Source]:
    """Chance in which subjects are tested: the variance of a mean over images, by a bootstrap that draws subjects.

    Args:
        values: per image [N], the difference of two methods' errors, each averaged over its runs.
        subject: number of each image's subject [N]; None: each image stands alone.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        Nothing where there is a single subject.
    """
    return of_draws(bootstrap_means(values, subject, draws=draws, seed=seed), group_index(subject, len(values))[1])


def of_draws(draws: Floats, num_groups: int) -> list[Source]:
    """The same of a bootstrap's draws [B] of the difference. A bootstrap's variance is short of G/(G-1)."""
    if num_groups < 2:
        return []
    return [Source(float(np.var(draws)) * num_groups / (num_groups - 1), num_groups - 1.0)]


def over_test_sets(differences: Floats, overlap: float, level: float = 0.95) -> Estimate:
    """The corrected resampled t-test over folds or repeated splits [Nadeau and Bengio, 2003].

    Args:
        differences: of the two methods' scores on each test set [K], trained on the same images.
        overlap: test images / training images; see `analysis.estimates.mean_estimate`.
        level: coverage of the interval.
    """
    return mean_estimate(differences, level, overlap)
