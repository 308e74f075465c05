"""Ordinality: whether the similarity of rank features falls with the distance of their ranks.

R ranks, D width. Imports no torch. `ordinality` collects all variants: the paper's score, scores without the diagonal,
in both directions and corrected for chance, Kendall's tau between distance and dissimilarity, and the neighboring
ranks that are out of order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from ordinalclip.errors import ConfigError

Matrix = npt.NDArray[np.floating[Any]]
Features = npt.ArrayLike  # [R, D]; a tensor on the CPU that needs no gradient is one

# Similarities closer than this are equal: equal features must not be ordered by rounding.
TOLERANCE = 1e-9

# With 101 ranks, ages of 0 to 100, the paper's script scores those of MORPH alone: 61 of them, from 15 to 75 years.
REFERENCE_RANKS, REFERENCE_SLICE = 101, (15, 76)


def similarity(rank_features: Features) -> Matrix:
    """Cosine similarities [R, R] of rank features [R, D], divided by the largest, float64 [OrdinalCLIP, its script].

    The similarity of a feature of length 0 is 0, also to itself.
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


def steps_away(similarity_RR: Matrix) -> Matrix:
    """How much the similarity to a rank i changes on the last step of the way from i to k, as [R, R] over (i, k).

    For k > i it is S[i, k] - S[i, k-1], for k < i it is S[i, k] - S[i, k+1]: negative if ordered. The diagonal and
    the first step away from i, which is negative for any features, are nan.
    """
    steps_RR = np.full(similarity_RR.shape, np.nan)
    steps_RR[:, 1:] = similarity_RR[:, 1:] - similarity_RR[:, :-1]
    below = np.tril(np.ones(similarity_RR.shape, dtype=bool), -1)
    down_RR = np.full(similarity_RR.shape, np.nan)
    down_RR[:, :-1] = similarity_RR[:, :-1] - similarity_RR[:, 1:]
    steps_RR[below] = down_RR[below]
    steps_RR[_distance(len(similarity_RR)) < 2] = np.nan
    return steps_RR


def violations(similarity_RR: Matrix) -> npt.NDArray[np.bool_]:
    """Where a rank k is at least as similar to i as its neighbor on the side of i is, as [R, R] over (i, k)."""
    return steps_away(similarity_RR) >= -TOLERANCE  # nan is not


def off_diagonal_ordinality(similarity_RR: Matrix) -> float:
    """Share of steps away from a rank i, up or down, over which the similarity to i falls; 1/2 for random features.

    Over 0 <= i < j <= R-2: S[i, j] > S[i, j+1], and over 1 <= j < i <= R-1: S[i, j] > S[i, j-1]. The step that leaves
    i itself is not counted. Turning the order of the ranks round changes nothing. nan for R = 2: there is no such step.
    """
    steps = _counted(similarity_RR)
    return float((steps < -TOLERANCE).mean()) if steps.size > 0 else float("nan")


def adjusted_ordinality(similarity_RR: Matrix) -> float:
    """Share of steps away from a rank over which the similarity to it falls, less the share over which it rises.

    1: it falls on all steps (perfect order). 0: chance. -1: it rises on all steps. The steps are those of
    `off_diagonal_ordinality`; without equal similarities it is that score with its chance level p = 1/2 removed,
    (score - p) / (1 - p).

    The chance level is exactly 0 for any features: exchanging the two ranks of a step reverses its sign, so under a
    random order each step is as likely to fall as to rise. nan for R = 2: there is no such step.
    """
    steps = _counted(similarity_RR)
    if steps.size == 0:
        return float("nan")
    return float((steps < -TOLERANCE).mean() - (steps > TOLERANCE).mean())


def _counted(similarity_RR: Matrix) -> Matrix:
    return steps_away(similarity_RR)[_distance(len(similarity_RR)) >= 2]


def _distance(num_ranks: int) -> npt.NDArray[np.int64]:
    ranks = np.arange(num_ranks)
    return np.abs(ranks[:, None] - ranks)


def kendall(similarity_RR: Matrix) -> float:
    """Kendall's τ-b between |i - j| and 1 - S[i, j] over all pairs i < j, in O(R² log R).

    0 for random features. Pairs of ranks that are equally far apart are tied, so that perfect order reaches
    `largest_kendall` where no dissimilarities are equal, and 1 only where equal distances have equal dissimilarities.

    Args:
        similarity_RR: similarities S [R, R].

    Returns:
        τ-b; 0 where all dissimilarities are equal; nan for R = 2, where there is one pair.
    """
    from scipy.stats import kendalltau  # slow to import, and used here only

    upper, lower = np.triu_indices(len(similarity_RR), k=1)
    if len(upper) < 2:
        return float("nan")
    # Rounded to multiples of the tolerance, so that differences by rounding are ties.
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


def neighbours_out_of_order(similarity_RR: Matrix, first: int = 0) -> list[dict[str, float]]:
    """Neighbors r and r+1 whose order is violated by the similarity to at least one other rank.

    A rank i < r should be more similar to r, a rank i > r+1 to r+1. The mean of the shares over all R-1 pairs of
    neighbors is 1 - `off_diagonal_ordinality`.

    Args:
        similarity_RR: similarities [R, R].
        first: index of the first rank, if the matrix is of a slice.

    Returns:
        `rank` r and `share` of the R-2 other ranks that violate the order, largest first, ties by rank.
    """
    shares = shares_out_of_order(similarity_RR)
    order = np.argsort(-shares, kind="stable")
    return [{"rank": int(rank) + first, "share": float(shares[rank])} for rank in order if shares[rank] > 0]


def shares_out_of_order(similarity_RR: Matrix) -> Matrix:
    """Share [R-1] of other ranks that violate the order of neighbors r and r+1; nan for R = 2."""
    num_ranks = len(similarity_RR)
    wrong_RR = violations(similarity_RR)
    # A rank i below r steps from r to r+1, one above r+1 from r+1 to r.
    upwards = np.triu(wrong_RR, 1).sum(axis=0)[1:]
    downwards = np.tril(wrong_RR, -1).sum(axis=0)[:-1]
    voters = num_ranks - 2
    return (upwards + downwards) / voters if voters > 0 else np.full(num_ranks - 1, np.nan)


@dataclass(frozen=True)
class Ordinality:
    """Ordinality scores of rank features, with their chance levels.

    Attributes:
        score: the paper's score, see `ordinality_score`; the diagonal is counted.
        score_chance: its chance level, 1/2 + 1/R.
        adjusted: share of steps away from a rank, up or down, on which the similarity to it falls, less the share on
            which it rises: 1 for perfect order, 0 for random features; see `adjusted_ordinality`.
        kendall: Kendall's τ-b between distance and dissimilarity of every two ranks; 0 for random features.
        kendall_largest: τ-b of perfectly ordered ranks without equal dissimilarities.
        off_diagonal: share of falling steps off the diagonal, both directions; see `off_diagonal_ordinality`.
        off_diagonal_chance: its chance level, 1/2.
        spans: the paper's score by span 1, 2, 4, …, R-1.
        span_chances: the chance level of each.
        out_of_order: see `neighbours_out_of_order`.
    """

    score: float
    score_chance: float
    adjusted: float
    kendall: float
    kendall_largest: float
    off_diagonal: float
    off_diagonal_chance: float
    spans: dict[int, float]
    span_chances: dict[int, float]
    out_of_order: list[dict[str, float]]


def spans(num_ranks: int) -> list[int]:
    """The spans that are reported: powers of two below R-1, and R-1 for all pairs."""
    longest = num_ranks - 1
    return [2**power for power in range(longest.bit_length()) if 2**power < longest] + [longest]


def ordinality_score(similarity_RR: Matrix, span: int | None = None) -> float:
    """Share of pairs 0 <= i <= j <= R-2, j - i < span, with S[i, j] > S[i, j+1] [OrdinalCLIP, its script].

    Pairs on the diagonal are counted, and always fall. Only steps upwards from i are counted.

    Args:
        similarity_RR: similarities S [R, R], R at least 2.
        span: how far apart pairs may be; None: R-1, all pairs.
    """
    steps = len(similarity_RR) - 1
    falls = similarity_RR[:-1, :-1] > similarity_RR[:-1, 1:] + TOLERANCE
    # A feature is most similar to itself; without this, rounding could decide otherwise.
    falls = falls | np.eye(steps, dtype=bool)
    near = np.tril(np.triu(np.ones_like(falls)), steps - 1 if span is None else span - 1)
    return float(falls[near].mean())


def score_chance(num_ranks: int, span: int | None = None) -> float:
    """Expected `ordinality_score` of random features: every diagonal pair, half of the others."""
    steps = num_ranks - 1
    width = steps if span is None else min(span, steps)
    pairs = width * steps - width * (width - 1) / 2
    return (steps + (pairs - steps) / 2) / pairs


def ordinality(rank_features: Features, ranks: Sequence[int] | None = None) -> Ordinality:
    """All scores of rank features.

    Args:
        rank_features: rank features [R, D], R at least 2, normalized or not.
        ranks: score ranks first…last-1 alone, such as the reference's `REFERENCE_SLICE`; None: all.

    Raises:
        ConfigError: `ranks` does not name two ranks at least.
    """
    features_RD = np.asarray(rank_features, dtype=np.float64)
    if ranks is not None:
        first, last = ranks
        if not 0 <= first < last - 1 < len(features_RD):
            allowed = f"first:last with two ranks at least, within 0:{len(features_RD)}"
            raise ConfigError("ranks", f"{first}:{last}", "is no slice of the ranks", allowed=allowed)
        features_RD = features_RD[first:last]
    num_ranks = len(features_RD)
    similarity_RR = similarity(features_RD)
    return Ordinality(
        score=ordinality_score(similarity_RR),
        score_chance=score_chance(num_ranks),
        adjusted=adjusted_ordinality(similarity_RR),
        kendall=kendall(similarity_RR),
        kendall_largest=largest_kendall(num_ranks),
        off_diagonal=off_diagonal_ordinality(similarity_RR),
        off_diagonal_chance=0.5,
        spans={span: ordinality_score(similarity_RR, span) for span in spans(num_ranks)},
        span_chances={span: score_chance(num_ranks, span) for span in spans(num_ranks)},
        out_of_order=neighbours_out_of_order(similarity_RR, first=0 if ranks is None else ranks[0]),
    )
