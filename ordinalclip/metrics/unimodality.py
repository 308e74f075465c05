"""Unimodality: whether predicted distributions have a single mode."""

import torch
from torch import Tensor

from ordinalclip.metrics.accumulation import ImageMean

# Shallower valleys are ignored: far from the mode they are rounding errors of a float32 softmax.
TOLERANCE = 1e-6


def valley_depths(probs: Tensor) -> Tensor:
    """Depth of the deepest valley between two modes [N] of probabilities [N, R]; 0 for a single mode.

    The depth at a rank is the smaller of the maxima to its left and right, minus its probability.
    """
    left = probs.cummax(dim=1).values
    right = probs.flip(1).cummax(dim=1).values.flip(1)
    return (torch.minimum(left, right) - probs).amax(dim=1)


def unimodal(probs: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Whether each distribution [N] of probabilities [N, R] has a single mode; a plateau is one mode."""
    return valley_depths(probs) <= tolerance


class UnimodalityRate(ImageMean):
    """Share of distributions with a single mode; see `unimodal`.

    Args:
        num_ranks: R.
        tolerance: depth up to which valleys are ignored.
    """

    higher_is_better = True

    def __init__(self, num_ranks: int, tolerance: float = TOLERANCE) -> None:
        super().__init__(num_ranks)
        self.tolerance = tolerance

    def scores(self, probs: Tensor, target: Tensor) -> Tensor:
        """1 for a single mode, else 0."""
        return unimodal(probs, self.tolerance).double()
