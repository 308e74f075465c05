"""Confidence intervals of scores by a cluster bootstrap, which draws whole groups such as subjects. Imports no torch.

The intervals cover the choice of test images, not the seed or the training images. Percentile intervals are too narrow
with fewer than about 20 groups; the number of groups is reported with every interval.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ordinalclip.scoring.image_scores import per_image, weighted_score
from ordinalclip.scoring.predictions import Predictions

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]
_AT_ONCE = 4_000_000  # weights in memory at a time

LEVEL, DRAWS = 0.95, 1000
# Scores that are not means over images. Worst-case errors and calibration errors are left out: they are biased upwards
# in resampled images.
_OTHER_SCORES = ("qwk", "amae", "spearman", "aurc")


@dataclass(frozen=True)
class Interval:
    """A percentile interval.

    Attributes:
        low: lower end, nan for fewer than two groups.
        high: upper end.
        level: nominal coverage.
        num_groups: number of groups that were resampled: subjects, or images if subjects are not known.
    """

    low: float
    high: float
    level: float
    num_groups: int


def group_index(group: Integers | None, num_images: int) -> tuple[Integers, int]:
    """Group indices 0…G-1 of the images [N], and G; every image is its own group if `group` is None."""
    if group is None:
        return np.arange(num_images), num_images
    names, index = np.unique(group, return_inverse=True)
    return index, len(names)


def resample_weights(num_groups: int, draws: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yields how often each group is drawn [d, G], in chunks with `draws` rows in total; each row sums to G.

    The rows depend only on the arguments, so that scores of two runs can be compared in pairs.
    """
    rng = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // max(num_groups, 1))
    for start in range(0, draws, at_once):
        rows = min(at_once, draws - start)
        drawn = rng.integers(num_groups, size=(rows, num_groups)) + num_groups * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * num_groups).reshape(rows, num_groups)


def bootstrap_means(values: Floats, group: Integers | None = None, *, draws: int = 1000, seed: int = 0) -> Floats:
    """Means of resampled images [draws] or [draws, M], of values [N] or of M columns of them [N, M].

    A mean is the sum over the drawn images divided by their number, which varies with the sizes of the groups. For a
    paired comparison of two runs, pass the difference of their values, or both as columns.
    """
    values = np.asarray(values, dtype=float)
    columns = values.reshape(len(values), -1)
    index, num_groups = group_index(group, len(values))
    sums = np.stack([np.bincount(index, column, num_groups) for column in columns.T], axis=1)
    sizes = np.bincount(index, minlength=num_groups)
    pieces = resample_weights(num_groups, draws, seed)
    means = np.concatenate([(weights @ sums) / (weights @ sizes)[:, None] for weights in pieces])
    return means.reshape(draws, *values.shape[1:])


def bootstrap_scores(
    score: Callable[[Floats], float], group: Integers | None, num_images: int, *, draws: int = 1000, seed: int = 0
) -> Floats:
    """A score of resampled images [draws], for scores that are not means.

    Args:
        score: how often each image was drawn [N] → score.
        group: [N], or None.
        num_images: N.
        draws: number of resamples.
        seed: the resamples are those of `bootstrap_means` with the same seed.
    """
    index, num_groups = group_index(group, num_images)
    pieces = resample_weights(num_groups, draws, seed)
    return np.array([score(row[index].astype(float)) for weights in pieces for row in weights])


def percentile_interval(draws: Floats, num_groups: int, level: float = 0.95) -> Interval:
    """Percentile interval of draws [B]; nan, such as of a rank that was not drawn, is ignored."""
    known = draws[~np.isnan(draws)]
    if num_groups < 2 or len(known) == 0:
        return Interval(float("nan"), float("nan"), level, num_groups)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, num_groups)


def bootstrap_mean_interval(
    values: Floats, group: Integers | None = None, *, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> Interval:
    """Percentile interval of the mean of values [N]."""
    num_groups = group_index(group, len(values))[1]
    return percentile_interval(bootstrap_means(values, group, draws=draws, seed=seed), num_groups, level)


def clustered_standard_error(values: npt.NDArray[np.floating], group: npt.NDArray[np.integer] | None = None) -> float:
    """Standard error of the mean of values [N], by linearisation: √(G/(G-1) Σ_g (Σ_(i in g) (x_i - mean))²) / N.

    Args:
        values: [N].
        group: [N], equal numbers for images that belong together; None: each is its own group, which gives s/√N.

    Returns:
        nan for fewer than two groups.
    """
    if group is None:
        sums = values - values.mean() if len(values) else values
    else:
        _, index = np.unique(group, return_inverse=True)
        sums = np.bincount(index, values - values.mean()) if len(values) else values
    num_groups = len(sums)
    if num_groups < 2:
        return float("nan")
    return float(np.sqrt(num_groups / (num_groups - 1) * np.square(sums).sum()) / len(values))


def score_intervals(
    predictions: Predictions, *, level: float = LEVEL, draws: int = DRAWS, seed: int = 0
) -> dict[str, Any]:
    """Percentile bootstrap intervals of all scores that are means over images, and of `_OTHER_SCORES`.

    Args:
        predictions: predictions of N images.
        level: nominal coverage.
        draws: number of resamples.
        seed: seed of the resamples.

    Returns:
        `level`, `draws`, `by`, `num_groups`, and `scores`: name → [low, high], nan for fewer than two groups.
    """
    num_images = len(predictions)
    num_groups = group_index(predictions.family, num_images)[1]
    images = per_image(predictions)
    means = bootstrap_means(np.stack(list(images.values()), axis=1), predictions.family, draws=draws, seed=seed)
    drawn = dict(zip(images, means.T, strict=True))
    for name in _OTHER_SCORES:
        score = weighted_score(name, predictions)
        assert score is not None
        drawn[name] = bootstrap_scores(score, predictions.family, num_images, draws=draws, seed=seed)
    found = {name: percentile_interval(values, num_groups, level) for name, values in drawn.items()}
    return {
        "level": level,
        "draws": draws,
        "by": "image" if predictions.family is None else "subject, group or block",
        "num_groups": num_groups,
        "scores": {name: [interval.low, interval.high] for name, interval in found.items()},
    }
