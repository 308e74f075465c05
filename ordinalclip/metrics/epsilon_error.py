"""CLAP's ε-error: an error counts for more where the annotators agree.

Escalera et al., "ChaLearn looking at people 2015", ICCV workshops 2015.
"""

import torch
from torch import Tensor
from torchmetrics import Metric


def epsilon_errors(preds: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """1 - exp(-(ŷ - μ)² / 2σ²) [N], 0 … 1, float64; 0 or 1 where σ is 0, nan where it is not known.

    Args:
        preds: predicted values [N], in the unit of the labels.
        mean: of the annotators' labels [N].
        deviation: theirs [N].
    """
    squared = (preds.double() - mean.double()).square()
    variance = deviation.double().square()
    agreed = torch.where(squared > 0, 1.0, 0.0).double()  # σ = 0: right or wrong
    return torch.where(variance == 0, agreed, 1 - torch.exp(-squared / (2 * variance.clamp(min=1e-300))))


class EpsilonError(Metric):
    """Mean of `epsilon_errors` over the images whose deviation is known; nan where none is."""

    is_differentiable, higher_is_better, full_state_update = False, False, False
    score: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("score", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, mean: Tensor, deviation: Tensor) -> None:
        """Add a batch of predicted values, labels and their deviations, each [B]."""
        known = ~deviation.isnan()
        self.score += epsilon_errors(preds[known], mean[known], deviation[known]).sum()
        self.total += known.sum()

    def compute(self) -> Tensor:
        """The mean over all images so far."""
        return self.score / self.total
