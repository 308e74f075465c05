"""Scores of single images, and scores of weighted images, for paired comparisons and bootstraps. Imports no torch.

`per_image` gives scores whose mean is the run's score. `weighted_score` gives the others (kappa, correlations, …) as a
function of how often each image counts; it equals the score of images repeated that often. Weights are whole numbers.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from ordinalclip.config.checks import READOUTS
from ordinalclip.metrics.names import ECE_BINS, THRESHOLD_BINS
from ordinalclip.scoring.predictions import Predictions

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]
Score = Callable[[Floats], float]

_TINY = float(np.finfo(np.float32).tiny)


def readouts(probs: Floats, values: Floats | None = None) -> dict[str, Floats]:
    """Every readout [N] of probabilities [N, R], in ranks, or in the unit of the ranks' values [R].

    Equal to those of `ordinalclip.metrics.readout`.
    """
    probs = probs.astype(float)
    last = probs.shape[1] - 1
    mean = probs @ np.arange(last + 1)
    ranks = {
        "argmax": probs.argmax(axis=1),
        "median": (probs.cumsum(axis=1) < 0.5).sum(axis=1).clip(max=last),
        "rounded_expectation": np.rint(mean).clip(0, last).astype(int),
    }
    if values is None:
        return {"expectation": mean} | {name: rank.astype(float) for name, rank in ranks.items()}
    return {"expectation": probs @ values} | {name: values[rank] for name, rank in ranks.items()}


def per_image(predictions: Predictions) -> dict[str, Floats]:
    """Scores [N] by name, as in `names.SCORES`: their means are the run's scores of these names."""
    probs, rank = predictions.probs.astype(float), predictions.rank
    in_ranks, in_unit = readouts(probs), readouts(probs, predictions.rank_values)
    true_value = predictions.rank_values[rank]
    found: dict[str, Floats] = {}
    for readout in READOUTS:
        suffix = "" if readout == "expectation" else f"_{readout}"
        found[f"mae{suffix}"] = np.abs(in_ranks[readout] - rank)
        found[f"mae_value{suffix}"] = np.abs(in_unit[readout] - true_value)
    found["accuracy"] = (in_ranks["argmax"] == rank).astype(float)
    found["accuracy_expectation"] = (in_ranks["rounded_expectation"] == rank).astype(float)
    found["accuracy_within_1"] = (np.abs(in_ranks["argmax"] - rank) <= 1).astype(float)
    reached = rank[:, None] <= np.arange(predictions.num_ranks)
    found["rps"] = np.square(probs.cumsum(axis=1) - reached)[:, :-1].sum(axis=1) / max(predictions.num_ranks - 1, 1)
    true_prob = probs[np.arange(len(rank)), rank]
    found["nll"] = -np.log(true_prob.clip(min=_TINY))
    found["brier"] = np.square(probs).sum(axis=1) - 2 * true_prob + 1
    return found


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
    """The largest mean of `weighted_rank_means`."""
    return float(weighted_rank_means(values, rank, weights, num_ranks).max())


def order_of(column: Floats) -> Integers:
    """Dense ranks [N] of the values of a column, from 0; ties are equal."""
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
    """Places [N] of rows that count as `weights` [N] equal ones each; ties share their mean."""
    total = np.bincount(order, weights)
    return (total.cumsum() - total / 2 + 0.5)[order]


def weighted_score(name: str, predictions: Predictions) -> Score | None:
    """A score of these predictions as a function of how often each image [N] is drawn.

    Args:
        name: as in `names.SCORES`.
        predictions: of N images.

    Returns:
        None for scores that are means of images, which `per_image` has, and for those that are neither.
    """
    probs, rank, num_ranks = predictions.probs.astype(float), predictions.rank, predictions.num_ranks
    answers = readouts(probs)
    given = answers[predictions.readout]
    error, mean = np.abs(given - rank), answers["expectation"]
    if name == "qwk":
        return lambda weights: weighted_kappa(rank, answers["argmax"].astype(int), weights, num_ranks)
    if name == "amae":
        return lambda weights: weighted_macro_mean(error, rank, weights, num_ranks)
    if name == "mmae":
        return lambda weights: weighted_worst_mean(error, rank, weights, num_ranks)
    if name == "spearman":
        return partial(weighted_spearman, rank, order_of(mean))
    if name == "kendall":
        return partial(weighted_kendall, rank, order_of(mean))
    if name == "aurc":
        expected = (probs * np.abs(given[:, None] - np.arange(num_ranks))).sum(axis=1)
        return partial(weighted_risk_area, error, order_of(expected))
    if name == "ece":
        sure, right = probs.max(axis=1)[:, None], (answers["argmax"] == rank)[:, None]
        return lambda weights: float(weighted_calibration_errors(sure, right, weights, ECE_BINS)[0])
    if name in ("tce", "tce_max"):
        below = probs.cumsum(axis=1)[:, :-1].clip(max=1)
        reached = rank[:, None] <= np.arange(num_ranks - 1)
        summary = np.mean if name == "tce" else np.max
        return lambda weights: float(summary(weighted_calibration_errors(below, reached, weights, THRESHOLD_BINS)))
    return None
