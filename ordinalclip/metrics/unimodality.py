"""Do predicted distributions rise to one mode and fall from it?"""

import torch
from torch import Tensor

from ordinalclip.metrics.accumulation import ImageMean

# A valley counts from this depth on: what a softmax in float32 does far from the mode is rounding.
TOLERANCE = 1e-6


def valley_depths(probs: Tensor) -> Tensor:
    """How deep the deepest valley between two modes is [N], 0 where there is one mode, of probabilities [N, R].

    The depth at a rank is how far its probability lies under the lower of the highest on its left and on its right.
    """
    left = probs.cummax(dim=1).values
    right = probs.flip(1).cummax(dim=1).values.flip(1)
    return (torch.minimum(left, right) - probs).amax(dim=1)


def unimodal(probs: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Which distributions [N] of probabilities [N, R] have a single mode; a plateau is one."""
    return valley_depths(probs) <= tolerance


class UnimodalityRate(ImageMean):
    """Share of distributions with a single mode; see `unimodal`.

    Args:
        num_ranks: R.
        tolerance: the depth up to which a valley does not count.
    """

    higher_is_better = True

    def __init__(self, num_ranks: int, tolerance: float = TOLERANCE) -> None:
        super().__init__(num_ranks)
        self.tolerance = tolerance

    def scores(self, probs: Tensor, target: Tensor) -> Tensor:
        """1 where there is a single mode, else 0."""
        return unimodal(probs, self.tolerance).double()
