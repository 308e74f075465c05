"""Rank correlations with ties: Kendall's tau-b and Spearman's rho.

Kendall is scipy's, in O(N log N): torchmetrics' compares every pair in a Python loop, half a minute for 50,000 images.
Spearman is computed here: torchmetrics 1.9 adds up the places of ties in int32, which overflows for a few ranks and
some 100,000 images, and warns on every construction.
"""

import torch
from scipy.stats import kendalltau
from torch import Tensor


def kendall(preds: Tensor, target: Tensor) -> float:
    """Tau-b of predictions [N] and targets [N], -1…1, ties corrected for.

    Where all predictions or all targets are equal it is not defined; 0, no association, is returned.
    """
    if len(preds) < 2 or bool((preds == preds[0]).all()) or bool((target == target[0]).all()):
        return 0.0
    return float(kendalltau(preds.cpu().numpy(), target.cpu().numpy()).statistic)


def average_places(values: Tensor) -> Tensor:
    """Place of each of N values in their order, 1…N, float64; equal values share the mean of their places."""
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts - 1) / 2)[inverse]


def spearman(preds: Tensor, target: Tensor) -> Tensor:
    """Correlation of the places of predictions [N] and targets [N], -1…1, float64.

    Where all predictions or all targets are equal it is not defined; 0, no association, is returned.
    """
    preds_N, target_N = average_places(preds), average_places(target)
    preds_N, target_N = preds_N - preds_N.mean(), target_N - target_N.mean()
    scale = preds_N.norm() * target_N.norm()
    return torch.where(scale > 0, (preds_N @ target_N) / scale.clamp(min=1e-300), 0.0).clamp(-1, 1)
