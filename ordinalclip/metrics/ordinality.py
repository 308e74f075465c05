"""Ordinality: do rank features grow less similar with the distance of their ranks? R ranks, D width."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Similarities closer than this are equal: equal features must not be ordered by rounding.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Ordinality:
    """How ordered rank features are, each score beside what random features score.

    Attributes:
        score: the paper's score, see `ordinality_score`; the diagonal is counted.
        score_chance: its chance level, 1/2 + 1/R.
        off_diagonal: share of ordered pairs off the diagonal, both directions; see `off_diagonal_ordinality`.
        off_diagonal_chance: its chance level, 1/2.
        spans: the paper's score by span 1, 2, 4, …, R-1.
        span_chances: the chance level of each.
    """

    score: float
    score_chance: float
    off_diagonal: float
    off_diagonal_chance: float
    spans: dict[int, float]
    span_chances: dict[int, float]


def similarity(rank_features: Tensor) -> Tensor:
    """Cosine similarities [R, R] of rank features [R, D], divided by the largest, float64."""
    features_RD = F.normalize(rank_features.detach().double(), dim=1)
    similarity_RR = features_RD @ features_RD.T
    return similarity_RR / similarity_RR.max()


def spans(num_ranks: int) -> list[int]:
    """The spans that are reported: powers of two below R-1, and R-1 for all pairs."""
    longest = num_ranks - 1
    return [2**power for power in range(longest.bit_length()) if 2**power < longest] + [longest]


def ordinality_score(similarity_RR: Tensor, span: int | None = None) -> float:
    """Share of pairs 0 <= i <= j <= R-2, j - i < span, with S[i, j] > S[i, j+1] [OrdinalCLIP, its script].

    Pairs on the diagonal count, and always obey. One direction only: away from i upwards.

    Args:
        similarity_RR: similarities S [R, R], R at least 2.
        span: how far apart pairs may be; None: R-1, all pairs.
    """
    steps = len(similarity_RR) - 1
    falls = similarity_RR[:-1, :-1] > similarity_RR[:-1, 1:] + TOLERANCE
    # On the diagonal no feature is more similar to another than to itself; rounding has no say in it.
    falls = falls | torch.eye(steps, dtype=torch.bool, device=falls.device)
    near = torch.ones_like(falls).triu().tril(steps - 1 if span is None else span - 1)
    return float(falls[near].double().mean())


def score_chance(num_ranks: int, span: int | None = None) -> float:
    """Expected `ordinality_score` of random features: every diagonal pair, half of the others."""
    steps = num_ranks - 1
    width = steps if span is None else min(span, steps)
    pairs = width * steps - width * (width - 1) / 2
    return (steps + (pairs - steps) / 2) / pairs


def off_diagonal_ordinality(similarity_RR: Tensor) -> float:
    """Share of steps away from a rank i, up or down, over which the similarity to i falls; 1/2 for random features.

    Over 0 <= i < j <= R-2: S[i, j] > S[i, j+1], and over 1 <= j < i <= R-1: S[i, j] > S[i, j-1]. The step that leaves
    i itself is not counted. Turning the order of the ranks round changes nothing. nan for R = 2: there is no such step.
    """
    up = (similarity_RR[:, :-1] > similarity_RR[:, 1:] + TOLERANCE)[_strictly_above(similarity_RR)]
    turned_RR = similarity_RR.flip(0, 1)
    down = (turned_RR[:, :-1] > turned_RR[:, 1:] + TOLERANCE)[_strictly_above(turned_RR)]
    return float(torch.cat([up, down]).double().mean())


def ordinality(rank_features: Tensor) -> Ordinality:
    """All scores of rank features [R, D], R at least 2, normalised or not."""
    num_ranks = len(rank_features)
    similarity_RR = similarity(rank_features)
    return Ordinality(
        score=ordinality_score(similarity_RR),
        score_chance=score_chance(num_ranks),
        off_diagonal=off_diagonal_ordinality(similarity_RR),
        off_diagonal_chance=0.5,
        spans={span: ordinality_score(similarity_RR, span) for span in spans(num_ranks)},
        span_chances={span: score_chance(num_ranks, span) for span in spans(num_ranks)},
    )


def _strictly_above(similarity_RR: Tensor) -> Tensor:
    return torch.ones_like(similarity_RR[:, :-1], dtype=torch.bool).triu(1)
