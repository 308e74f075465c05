"""Kendall's tau-b.

scipy's, in N log N: torchmetrics' compares every pair in a Python loop, which takes half a minute for 50,000 images.
"""

from scipy.stats import kendalltau
from torch import Tensor


def kendall(preds: Tensor, target: Tensor) -> float:
    """Tau-b of predictions [N] and targets [N], -1…1, ties corrected for.

    Where all predictions or all targets are equal it is not defined; 0, no association, is returned.
    """
    if len(preds) < 2 or bool((preds == preds[0]).all()) or bool((target == target[0]).all()):
        return 0.0
    return float(kendalltau(preds.cpu().numpy(), target.cpu().numpy()).statistic)
