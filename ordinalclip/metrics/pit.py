"""Probability integral transform of a discrete prediction: is the true rank spread over the predicted distribution?

The transform of an image with true rank y is uniform between P(rank < y) and P(rank <= y). Nothing is drawn: each image
adds that whole stretch to the histogram, which is the expectation of the randomised histogram (Czado, Gneiting and
Held, "Predictive model assessment for count data", 2009). A calibrated predictor's histogram is flat, that of one too
sure is high at both ends, that of one that predicts too low is high at the right end.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

from ordinalclip.metrics.declared import check_num_ranks

BINS = 10


def stretches(probs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """P(rank < y) and P(rank <= y), [N] each, float64, of probabilities [N, R] and true ranks y [N]."""
    upper = probs.double().cumsum(dim=1).clamp(max=1)
    upper[:, -1] = torch.where(upper[:, -1].isnan(), upper[:, -1], 1.0)  # whatever rounding left of it
    high = upper.gather(1, target[:, None]).squeeze(1)
    low = (high - probs.double().gather(1, target[:, None]).squeeze(1)).clamp(min=0)
    return torch.where(target == 0, torch.zeros_like(low), low), high


def pit_sums(probs: Tensor, target: Tensor, bins: int = BINS) -> Tensor:
    """How many images' worth of stretch lies in each of equally wide bins [B], float64; sums may be added up."""
    low, high = stretches(probs, target)
    # A rank predicted with probability 0 has a point for a stretch.
    low = torch.where(high - low < 1e-12, (high - 1e-12).clamp(min=0), low)
    high = torch.maximum(high, low + 1e-12)
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=probs.device)
    edges[-1] = 2.0  # nothing is lost to rounding
    reached = ((edges - low[:, None]) / (high - low)[:, None]).clamp(0, 1)
    return reached.diff(dim=1).sum(dim=0)


def pit_moments(probs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the randomised transform, exactly; 1/2 and 1/12 for a calibrated predictor."""
    low, high = stretches(probs, target)
    mean = ((low + high) / 2).mean()
    return mean, ((low.square() + low * high + high.square()) / 3).mean() - mean.square()


class PITHistogram(Metric):
    """Heights of the histogram [B], 1 where it is flat.

    Args:
        num_ranks: R.
        bins: B, equally wide.
    """

    is_differentiable, higher_is_better, full_state_update = False, None, False
    sums: Tensor

    def __init__(self, num_ranks: int, bins: int = BINS) -> None:
        super().__init__()
        self.num_ranks, self.bins = num_ranks, bins
        self.add_state("sums", torch.zeros(bins, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, probs: Tensor, target: Tensor) -> None:
        """Add a batch of probabilities [B, R] and true ranks [B]."""
        check_num_ranks(probs, self.num_ranks)
        self.sums += pit_sums(probs, target, self.bins)

    def compute(self) -> Tensor:
        """Of all images so far."""
        return self.sums * self.bins / self.sums.sum()
