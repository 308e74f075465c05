"""Scores of images that count more or less than once, as a bootstrap draws them. Needs no torch."""

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


def weighted_macro_mean(values: Floats, rank: Integers, weights: Floats, num_ranks: int) -> float:
    """Mean over ranks of the mean of values [N] over the rank's images; a rank without a drawn image is left out."""
    counts = np.bincount(rank, weights, num_ranks)
    sums = np.bincount(rank, weights * values, num_ranks)
    drawn = counts > 0
    return float((sums[drawn] / counts[drawn]).mean())
