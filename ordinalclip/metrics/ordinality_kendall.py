"""Kendall's τ between the distance of two ranks and the dissimilarity of their features. R ranks."""

from math import comb, sqrt

import numpy as np

from ordinalclip.metrics.similarity import TOLERANCE, Matrix


def kendall(similarity_RR: Matrix) -> float:
    """Kendall's τ-b between |i - j| and 1 - S[i, j] over all pairs i < j, in O(R² log R).

    0 for random features. Pairs of ranks that are equally far apart are tied, so that perfect order reaches
    `largest_kendall` where no dissimilarities are equal, and 1 only where equal distances have equal dissimilarities.

    Args:
        similarity_RR: similarities S [R, R].

    Returns:
        τ-b; 0 where all dissimilarities are equal; nan for R = 2, where there is one pair.
    """
    from scipy.stats import kendalltau  # takes a moment, and nothing else here needs it

    upper, lower = np.triu_indices(len(similarity_RR), k=1)
    if len(upper) < 2:
        return float("nan")
    # Whole multiples of the tolerance: what differs by rounding alone is tied.
    dissimilarity = np.round((1 - similarity_RR[upper, lower]) / TOLERANCE)
    if np.ptp(dissimilarity) == 0:
        return 0.0
    return float(kendalltau(lower - upper, dissimilarity).statistic)


def largest_kendall(num_ranks: int) -> float:
    """The τ-b of perfectly ordered ranks whose dissimilarities are all different; nan for R = 2.

    Of the pairs of pairs of ranks, Σ_d C(R-d, 2) = C(R, 3) are tied in distance: √(1 - C(R, 3) / C(C(R, 2), 2)).
    """
    pairs = comb(comb(num_ranks, 2), 2)
    return sqrt(1 - comb(num_ranks, 3) / pairs) if pairs > 0 else float("nan")
