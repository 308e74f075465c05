"""Scores of images that count more or less than once, as a bootstrap draws them. Needs no torch.

Each equals its score of images that are repeated that often; weights are whole numbers.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]


def weighted_kappa(true: Integers, predicted: Integers, weights: Floats, num_ranks: int) -> float:
    """Quadratic weighted kappa of ranks [N], image i counted weights[i] times; 0 where it is not defined."""
    counts = np.bincount(true * num_ranks + predicted, weights, num_ranks**2).reshape(num_ranks, num_ranks)
    distance = np.square(np.subtract.outer(np.arange(num_ranks), np.arange(num_ranks)))
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    scale = (distance * expected).sum()
    return float(1 - (distance * counts).sum() / scale) if scale > 0 else 0.0


def weighted_rank_means(values: Floats, rank: Integers, weights: Floats, num_ranks: int) -> Floats:
    """Mean of values [N] over the images of each rank that has a drawn one."""
    counts = np.bincount(rank, weights, num_ranks)
    sums = np.bincount(rank, weights * values, num_ranks)
    return sums[counts > 0] / counts[counts > 0]


def weighted_macro_mean(values: Floats, rank: Integers, weights: Floats, num_ranks: int) -> float:
    """Mean over ranks of the mean of values [N] over the rank's images; a rank without a drawn image is left out."""
    return float(weighted_rank_means(values, rank, weights, num_ranks).mean())


def weighted_worst_mean(values: Floats, rank: Integers, weights: Floats, num_ranks: int) -> float:
    """The largest of these means."""
    return float(weighted_rank_means(values, rank, weights, num_ranks).max())


def order_of(column: Floats) -> Integers:
    """Which of a column's different values each of its rows [N] has, 0 the least: all that rank scores need of it."""
    return np.unique(column, return_inverse=True)[1]


def weighted_spearman(one: Integers, other: Integers, weights: Floats) -> float:
    """Rank correlation of two columns' orders [N]; 0 where one of them is constant."""
    x, y = (_mid_places(order, weights) for order in (one, other))
    x, y = x - np.average(x, weights=weights), y - np.average(y, weights=weights)
    lengths = float((weights * x * x).sum()) * float((weights * y * y).sum())
    return float((weights * x * y).sum() / np.sqrt(lengths)) if lengths > 0 else 0.0


def weighted_kendall(one: Integers, other: Integers, weights: Floats) -> float:
    """Kendall's tau-b of two columns' orders [N]; 0 where one of them is constant."""
    from scipy.stats import kendalltau

    rows = np.repeat(np.arange(len(weights)), weights.astype(int))
    if len(rows) < 2 or np.ptp(one[rows]) == 0 or np.ptp(other[rows]) == 0:
        return 0.0
    return float(kendalltau(one[rows], other[rows]).statistic)


def weighted_calibration_errors(
    probability: Floats, event: npt.NDArray[np.bool_], weights: Floats, bins: int
) -> Floats:
    """Expected calibration errors [K], L1, of probabilities [N, K] of K events; see `metrics.reliability`."""
    num_events = probability.shape[1]
    place = (probability * bins).astype(np.int64).clip(0, bins - 1) + bins * np.arange(num_events)
    gaps = np.bincount(place.ravel(), (weights[:, None] * (probability - event)).ravel(), num_events * bins)
    return np.abs(gaps).reshape(num_events, bins).sum(axis=1) / weights.sum()


def weighted_risk_area(error: Floats, doubt: Integers, weights: Floats) -> float:
    """Area under risk–coverage of errors [N] by their order of doubt [N], the surest first.

    Those of equal doubt are in random order, see `metrics.risk_coverage`.
    """
    counts = np.bincount(doubt, weights)
    means = np.bincount(doubt, weights * error)[counts > 0] / counts[counts > 0]
    surest_first = np.repeat(means, counts[counts > 0].astype(int))
    return float((surest_first.cumsum() / np.arange(1, len(surest_first) + 1)).mean())


def _mid_places(order: Integers, weights: Floats) -> Floats:
    """Places [N] of rows that stand for `weights` [N] equal ones each; ties share their mean."""
    total = np.bincount(order, weights)
    return (total.cumsum() - total / 2 + 0.5)[order]
