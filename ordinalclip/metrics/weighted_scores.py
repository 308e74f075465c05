"""A run's scores that are no means of images, as functions of how often each image counts. Needs no torch."""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from ordinalclip.metrics.per_image import readouts
from ordinalclip.metrics.weighted import (
    order_of,
    weighted_calibration_errors,
    weighted_kappa,
    weighted_kendall,
    weighted_macro_mean,
    weighted_risk_area,
    weighted_spearman,
    weighted_worst_mean,
)
from ordinalclip.predictions import Predictions

Floats = npt.NDArray[np.floating]
Score = Callable[[Floats], float]
_ARGMAX_BINS, _THRESHOLD_BINS = 15, 10  # those of `metrics.collection` and `metrics.threshold_calibration`


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
        return lambda weights: float(weighted_calibration_errors(sure, right, weights, _ARGMAX_BINS)[0])
    if name in ("tce", "tce_max"):
        below = probs.cumsum(axis=1)[:, :-1].clip(max=1)
        reached = rank[:, None] <= np.arange(num_ranks - 1)
        summary = np.mean if name == "tce" else np.max
        return lambda weights: float(summary(weighted_calibration_errors(below, reached, weights, _THRESHOLD_BINS)))
    return None
