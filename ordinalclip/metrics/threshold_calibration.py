"""Threshold calibration: of the images with P(y <= k) = p, does a share p have y <= k? For each threshold k < R-1.

An order is a set of thresholds, and what is asked of a model ("above grade 2?", "over 18?") is at thresholds; the usual
calibration error looks at the argmax alone and knows no order.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

from ordinalclip.metrics.declared import check_num_ranks
from ordinalclip.metrics.reliability import calibration_errors, reliability_sums

BINS = 10


def threshold_sums(probs: Tensor, target: Tensor, bins: int = BINS) -> Tensor:
    """Reliability sums [3, R-1, B] of P(y <= k), k = 0…R-2; see `reliability_sums`.

    Args:
        probs: probabilities [N, R].
        target: true ranks [N], integers.
        bins: equally wide bins of 0…1.
    """
    thresholds = torch.arange(probs.shape[1] - 1, device=probs.device)
    cumulative = probs.double().cumsum(dim=1)[:, :-1].clamp(max=1)
    return reliability_sums(cumulative, target[:, None] <= thresholds, bins)


class ThresholdCalibration(Metric):
    """Threshold calibration errors [R-1], L1; their mean and their largest are its summaries.

    Args:
        num_ranks: R.
        bins: equally wide bins of 0…1.
    """

    is_differentiable, higher_is_better, full_state_update = False, False, False
    sums: Tensor

    def __init__(self, num_ranks: int, bins: int = BINS) -> None:
        super().__init__()
        self.num_ranks, self.bins = num_ranks, bins
        self.add_state("sums", torch.zeros(3, num_ranks - 1, bins, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, probs: Tensor, target: Tensor) -> None:
        """Add a batch of probabilities [B, R] and true ranks [B]."""
        check_num_ranks(probs, self.num_ranks)
        self.sums += threshold_sums(probs, target, self.bins)

    def compute(self) -> Tensor:
        """Of all images so far."""
        return calibration_errors(self.sums)
