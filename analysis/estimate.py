"""A number with its uncertainty: Student's t on an estimate, its standard error and its degrees of freedom."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

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
