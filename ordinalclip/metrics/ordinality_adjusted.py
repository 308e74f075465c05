"""Ordinality without what distorts the paper's score: no diagonal, both directions, chance removed. R ranks."""

import numpy as np
import numpy.typing as npt

from ordinalclip.metrics.similarity import TOLERANCE, Matrix


def steps_away(similarity_RR: Matrix) -> Matrix:
    """How much the similarity to a rank i changes on the last step of the way from i to k, as [R, R] over (i, k).

    Where k > i that is S[i, k] - S[i, k-1], where k < i it is S[i, k] - S[i, k+1]: ordered ranks have falls alone. The
    step that leaves i itself falls whatever the features are, so that it is nan, as is the diagonal.
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
    """Where a rank k is at least as similar to i as its neighbour on the side of i is, as [R, R] over (i, k)."""
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

    1: it falls on all of them, the order is perfect. 0: chance. -1: it rises on all of them. The steps are those of
    `off_diagonal_ordinality`; without equal similarities it is that score with its chance level p = 1/2 removed,
    (score - p) / (1 - p).

    That 0 is chance needs no simulation: under a random order of the same features each step is as likely to fall as to
    rise, since exchanging the two ranks that it joins turns it round. So the mean over all R! orders is 0 exactly,
    whatever the features, equal ones included. nan for R = 2: there is no such step.
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
