"""Similarities of rank features, and what counts as equal ones. R ranks, D width. Needs no torch."""

from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.floating[Any]]
Features = npt.ArrayLike  # [R, D]; a tensor on the CPU that needs no gradient is one

# Similarities closer than this are equal: equal features must not be ordered by rounding.
TOLERANCE = 1e-9


def similarity(rank_features: Features) -> Matrix:
    """Cosine similarities [R, R] of rank features [R, D], divided by the largest, float64 [OrdinalCLIP, its script].

    A feature of length 0 is similar to none, itself included.
    """
    features_RD = np.asarray(rank_features, dtype=np.float64)
    lengths_R1 = np.linalg.norm(features_RD, axis=1, keepdims=True)
    unit_RD = features_RD / np.maximum(lengths_R1, 1e-12)
    similarity_RR = unit_RD @ unit_RD.T
    return similarity_RR / similarity_RR.max()


def row_softmax(similarity_RR: Matrix) -> Matrix:
    """The softmax [R, R] of each row of similarities, without a temperature [OrdinalCLIP, its heat maps]."""
    exponentials_RR = np.exp(similarity_RR - similarity_RR.max(axis=1, keepdims=True))
    return exponentials_RR / exponentials_RR.sum(axis=1, keepdims=True)
