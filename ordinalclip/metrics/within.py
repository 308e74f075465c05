"""Accuracy within k: share of predictions at most k from the target."""

import torch
from torch import Tensor
from torchmetrics import Metric

_ROUNDING = 1e-9  # tolerance: 0.9 - 0.7 > 0.2 in floating point


def accuracy_within(preds: Tensor, target: Tensor, k: float = 1) -> Tensor:
    """Share of predictions at most `k` from the target; nan if there are none.

    Args:
        preds: predicted ranks [N], or values in any unit.
        target: true ranks [N], or values in the same unit.
        k: largest accepted distance.
    """
    return ((preds - target).abs() <= k + _ROUNDING).double().mean()


class AccuracyWithin(Metric):
    """Share of predictions at most `k` from the target (1-off accuracy for k = 1, CS@k where ranks are years)."""

    is_differentiable, higher_is_better, full_state_update = False, True, False
    hits: Tensor
    total: Tensor

    def __init__(self, k: float = 1) -> None:
        super().__init__()
        self.k = k
        self.add_state("hits", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count a batch of predictions [B] and targets [B]."""
        self.hits += ((preds - target).abs() <= self.k + _ROUNDING).sum()
        self.total += target.numel()

    def compute(self) -> Tensor:
        """The share of all predictions so far."""
        return self.hits.double() / self.total
