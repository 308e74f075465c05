"""How far one method is ahead of another: a difference whose error counts every source of chance that can be seen.

A is ahead of B by so much on these test images with these trained models. With other images it would be another
number, and with other seeds as well; the interval of a claim about methods has to hold for both. N images of G
subjects, S seeds, K test sets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.estimate import Estimate, Floats, mean_estimate, student_t, welch_satterthwaite
from ordinalclip.metrics.bootstrap import Integers, bootstrap_means, group_index

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
        overlap: test images / training images; see `analysis.estimate.mean_estimate`.
        level: coverage of the interval.
    """
    return mean_estimate(differences, level, overlap)
