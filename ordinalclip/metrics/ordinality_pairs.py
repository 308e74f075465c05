"""Which neighbouring ranks are out of order, by the other ranks' similarities to them. R ranks."""

import numpy as np

from ordinalclip.metrics.ordinality_adjusted import violations
from ordinalclip.metrics.similarity import Matrix


def neighbours_out_of_order(similarity_RR: Matrix, first: int = 0) -> list[dict[str, float]]:
    """Neighbours r and r+1 that at least one other rank finds the wrong way round.

    Each of the R-2 other ranks i has a say: below them it should be more similar to r, above them to r+1. The mean over
    all R-1 neighbours is 1 - `off_diagonal_ordinality`.

    Args:
        similarity_RR: similarities [R, R].
        first: number of the first rank, where the matrix is of a slice.

    Returns:
        `rank` r and `share` of the other ranks that find r and r+1 out of order, the worst first, by rank among equals.
    """
    shares = shares_out_of_order(similarity_RR)
    order = np.argsort(-shares, kind="stable")
    return [{"rank": int(rank) + first, "share": float(shares[rank])} for rank in order if shares[rank] > 0]


def shares_out_of_order(similarity_RR: Matrix) -> Matrix:
    """For every two neighbours r and r+1, the share [R-1] of other ranks that find them out of order; nan for R = 2."""
    num_ranks = len(similarity_RR)
    wrong_RR = violations(similarity_RR)
    # A rank i below r steps from r to r+1, one above r+1 from r+1 to r.
    upwards = np.triu(wrong_RR, 1).sum(axis=0)[1:]
    downwards = np.tril(wrong_RR, -1).sum(axis=0)[:-1]
    voters = num_ranks - 2
    return (upwards + downwards) / voters if voters > 0 else np.full(num_ranks - 1, np.nan)
