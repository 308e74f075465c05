"""How far one method is ahead of another in one setting: paired by seed and by test image."""

from collections.abc import Sequence

import numpy as np

from analysis.difference import difference, of_images, of_seeds
from analysis.estimate import Estimate, mean_estimate
from analysis.evidence.scores import Scored


def mean_of(runs: Sequence[Scored], name: str) -> Estimate:
    """The mean of a score over seeds with Student's t interval; nan without runs."""
    return mean_estimate(np.array([run.stats.get(name, np.nan) for run in runs]))


def error_difference(a: Sequence[Scored], b: Sequence[Scored]) -> Estimate:
    """Mean absolute error of `a` less that of `b`, below 0 where `a` is ahead.

    Both have seen the same training images under a seed and are tested on the same images. The interval counts what
    seeds change and what other test images would.

    Args:
        a: runs of one method in a setting.
        b: runs of another in the same setting.
    """
    pairs = _pairs(a, b)
    if not pairs:
        return difference(float("nan"), [])
    first, second = (np.stack([pair[side].errors for pair in pairs]) for side in (0, 1))
    seeds = of_seeds(first.mean(axis=1), second.mean(axis=1), paired=True)
    images = of_images((first - second).mean(axis=0), None) if seeds else []
    return difference(float((first - second).mean()), [*seeds, *images])


def score_difference(a: Sequence[Scored], b: Sequence[Scored], name: str) -> Estimate:
    """Any score of `a` less that of `b`, paired by seed; the interval counts seeds alone."""
    pairs = _pairs(a, b)
    return mean_estimate(np.array([x.stats.get(name, np.nan) - y.stats.get(name, np.nan) for x, y in pairs]))


def verdict(estimate: Estimate) -> str:
    """Whether a difference of errors is one: `ahead`, `behind`, `not told apart`, or nothing where it is not known."""
    if not np.isfinite(estimate.low):
        return ""
    if estimate.high < 0:
        return "ahead"
    return "behind" if estimate.low > 0 else "not told apart"


def _pairs(a: Sequence[Scored], b: Sequence[Scored]) -> list[tuple[Scored, Scored]]:
    others = {run.cell.seed: run for run in b}
    return [(run, others[run.cell.seed]) for run in a if run.cell.seed in others]
