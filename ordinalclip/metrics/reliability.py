"""Reliability: how often what was predicted with probability p is true; of the argmax and of any event."""

import torch
from torch import Tensor


def bin_of(probability: Tensor, bins: int) -> Tensor:
    """Which of equally wide bins [low, high) of 0…1 each probability is in; 1 is in the last."""
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

    A finite sample has gaps of its own, so the error of a perfect predictor is above 0, the more so the fewer images.
    """
    count, predicted, observed = sums
    return (predicted - observed).abs().sum(dim=1) / count.sum(dim=1)


def calibration_bias(sums: Tensor) -> Tensor:
    """Mean probability less the share of events [K]: whether the predictor expects too much (above 0) or too little."""
    count, predicted, observed = sums
    return (predicted - observed).sum(dim=1) / count.sum(dim=1)
