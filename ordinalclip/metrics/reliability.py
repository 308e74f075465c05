"""Calibration of predicted probabilities: of the argmax, of thresholds, and of the whole distribution (PIT).

Reliability compares predicted probabilities with frequencies. Threshold calibration does so for P(y <= k), for each
threshold k < R - 1: questions such as "above grade 2?" are about thresholds, and the usual calibration error, of the
argmax alone, ignores the order.

The probability integral transform of an image with true rank y is uniform between P(rank < y) and P(rank <= y). Nothing
is drawn: each image adds the whole interval to the histogram, the expectation of the randomized histogram (Czado,
Gneiting and Held, "Predictive model assessment for count data", 2009). The histogram of a calibrated predictor is flat;
of an overconfident one it is high at both ends; of one that predicts too low it is high at the right end.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

from ordinalclip.metrics.accumulation import check_num_ranks
from ordinalclip.metrics.names import THRESHOLD_BINS


def bin_of(probability: Tensor, bins: int) -> Tensor:
    """Index of the bin of each probability; bins [low, high) divide 0…1 equally, and 1 is in the last."""
    return (probability.nan_to_num() * bins).long().clamp(0, bins - 1)


def reliability_sums(probability: Tensor, event: Tensor, bins: int) -> Tensor:
    """Counts, sums of probabilities and numbers of events in bins [3, K, B], float64; they may be added up.

    Args:
        probability: [N, K] of K events.
        event: [N, K], whether each came true.
        bins: B.
    """
    num_events = probability.shape[1]
    offset = bins * torch.arange(num_events, device=probability.device)
    index = (bin_of(probability, bins) + offset).flatten()
    rows = torch.stack([torch.ones_like(probability), probability, event]).double().flatten(1)
    sums = torch.zeros(3, num_events * bins, dtype=torch.float64, device=probability.device)
    return sums.index_add_(1, index, rows).reshape(3, num_events, bins)


def calibration_errors(sums: Tensor) -> Tensor:
    """Expected calibration error of each event [K]: mean over images of the gap of their bin, L1.

    The error of a perfect predictor is above 0 in a finite sample, and increases with fewer images.
    """
    count, predicted, observed = sums
    return (predicted - observed).abs().sum(dim=1) / count.sum(dim=1)


def calibration_bias(sums: Tensor) -> Tensor:
    """Mean probability minus the share of events [K]; positive if the predictor overestimates the events."""
    count, predicted, observed = sums
    return (predicted - observed).sum(dim=1) / count.sum(dim=1)


def threshold_sums(probs: Tensor, target: Tensor, bins: int = THRESHOLD_BINS) -> Tensor:
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

    def __init__(self, num_ranks: int, bins: int = THRESHOLD_BINS) -> None:
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


def pit_bounds(probs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """P(rank < y) and P(rank <= y), [N] each, float64, of probabilities [N, R] and true ranks y [N]."""
    upper = probs.double().cumsum(dim=1).clamp(max=1)
    upper[:, -1] = torch.where(upper[:, -1].isnan(), upper[:, -1], 1.0)  # exactly 1, despite rounding
    high = upper.gather(1, target[:, None]).squeeze(1)
    low = (high - probs.double().gather(1, target[:, None]).squeeze(1)).clamp(min=0)
    return torch.where(target == 0, torch.zeros_like(low), low), high


def pit_sums(probs: Tensor, target: Tensor, bins: int = THRESHOLD_BINS) -> Tensor:
    """Sum over images of the share of their PIT interval in each bin [B], float64; sums of batches may be added."""
    low, high = pit_bounds(probs, target)
    # The interval of a rank with probability 0 is a point.
    low = torch.where(high - low < 1e-12, (high - 1e-12).clamp(min=0), low)
    high = torch.maximum(high, low + 1e-12)
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=probs.device)
    edges[-1] = 2.0  # nothing is lost to rounding
    reached = ((edges - low[:, None]) / (high - low)[:, None]).clamp(0, 1)
    return reached.diff(dim=1).sum(dim=0)


def pit_moments(probs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Exact mean and variance of the randomized PIT; 1/2 and 1/12 for a calibrated predictor."""
    low, high = pit_bounds(probs, target)
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

    def __init__(self, num_ranks: int, bins: int = THRESHOLD_BINS) -> None:
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
