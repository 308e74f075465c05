"""How far one method is ahead of another in one setting: paired by seed and by test image. S seeds, N images."""

from collections.abc import Sequence

import numpy as np

from analysis.difference import difference, of_images, of_seeds
from analysis.estimate import Estimate, mean_estimate
from analysis.evidence.scores import Scored


def mean_of(runs: Sequence[Scored], name: str) -> Estimate:
    """The mean of a score over seeds with Student's t interval; nan without runs."""
    return mean_estimate(np.array([run.stats.get(name, np.nan) for run in runs]))


def error_difference(a: Sequence[Scored], b: Sequence[Scored], name: str = "mae", *, weak: bool = False) -> Estimate:
    """Mean absolute error of `a` less that of `b`, below 0 where `a` is ahead.

    Both have seen the same training images under a seed and are tested on the same images. The interval counts what
    seeds change and what other test images, or other people, would.

    Args:
        a: runs of one method in a setting.
        b: runs of another in the same setting.
        name: of the error, `mae` or `mae_argmax`.
        weak: on images of weak ranks alone, which may be others under each seed.
    """
    pairs = _pairs(a, b)
    if not pairs:
        return difference(float("nan"), [])
    deltas_SN = np.stack([one.errors[name] - other.errors[name] for one, other in pairs])
    counted_SN = np.stack([one.weak for one, _ in pairs]) if weak else np.ones(deltas_SN.shape, dtype=bool)
    if not counted_SN.any(axis=1).all():
        return difference(float("nan"), [])
    share_S = counted_SN.mean(axis=1)
    by_seed_S = (deltas_SN * counted_SN).mean(axis=1) / share_S
    # What each image adds to the mean, to first order: under a seed an image counts by 1 / share, or not at all.
    added_N = (counted_SN * (deltas_SN - by_seed_S[:, None]) / share_S[:, None]).mean(axis=0)
    seeds = of_seeds(by_seed_S, np.zeros_like(by_seed_S), paired=True)
    images = of_images(added_N, pairs[0][0].family) if seeds else []
    return difference(float(by_seed_S.mean()), [*seeds, *images])


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
