"""Ordinality: do rank features grow less similar with the distance of their ranks? R ranks, D width. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ordinalclip.errors import ConfigError
from ordinalclip.metrics.ordinality_adjusted import adjusted_ordinality, off_diagonal_ordinality
from ordinalclip.metrics.ordinality_kendall import kendall, largest_kendall
from ordinalclip.metrics.ordinality_pairs import neighbours_out_of_order
from ordinalclip.metrics.similarity import TOLERANCE, Features, Matrix, similarity

# With 101 ranks, ages of 0 to 100, the paper's script scores those of MORPH alone: 61 of them, from 15 to 75 years.
REFERENCE_RANKS, REFERENCE_SLICE = 101, (15, 76)


@dataclass(frozen=True)
class Ordinality:
    """How ordered rank features are, each score beside what random features score.

    Attributes:
        score: the paper's score, see `ordinality_score`; the diagonal is counted.
        score_chance: its chance level, 1/2 + 1/R.
        adjusted: share of steps away from a rank, up or down, on which the similarity to it falls, less the share on
            which it rises: 1 for perfect order, 0 for random features; see `adjusted_ordinality`.
        kendall: Kendall's τ-b between distance and dissimilarity of every two ranks; 0 for random features.
        kendall_largest: the most that perfectly ordered ranks reach where no two dissimilarities are equal.
        off_diagonal: share of falling steps off the diagonal, both directions; see `off_diagonal_ordinality`.
        off_diagonal_chance: its chance level, 1/2.
        spans: the paper's score by span 1, 2, 4, …, R-1.
        span_chances: the chance level of each.
        out_of_order: neighbouring ranks that some other rank finds out of order; see `neighbours_out_of_order`.
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

    Pairs on the diagonal count, and always obey. One direction only: away from i upwards.

    Args:
        similarity_RR: similarities S [R, R], R at least 2.
        span: how far apart pairs may be; None: R-1, all pairs.
    """
    steps = len(similarity_RR) - 1
    falls = similarity_RR[:-1, :-1] > similarity_RR[:-1, 1:] + TOLERANCE
    # On the diagonal no feature is more similar to another than to itself; rounding has no say in it.
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
        rank_features: rank features [R, D], R at least 2, normalised or not.
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
