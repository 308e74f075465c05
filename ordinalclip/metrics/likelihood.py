"""Proper scores that know no order: negative log-likelihood and Brier score."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ordinalclip.metrics.image_mean import ImageMean

# A softmax in float32 underflows to 0, whose logarithm would make one image the whole score: 87 nats at most.
TINY = float(torch.finfo(torch.float32).tiny)


def negative_log_likelihoods(probs: Tensor, target: Tensor) -> Tensor:
    """-log p(true rank) [N] in nats, float64, of probabilities [N, R] and ranks [N]; at most 87, see `TINY`."""
    return -probs.double().gather(1, target[:, None]).squeeze(1).clamp(min=TINY).log()


def brier_scores(probs: Tensor, target: Tensor) -> Tensor:
    """Σ_k (p_k - 1[y = k])² [N], 0 … 2, float64, of probabilities [N, R] and ranks [N] (Brier, 1950; not halved)."""
    return (probs.double() - F.one_hot(target, probs.shape[1])).square().sum(dim=1)


class NegativeLogLikelihood(ImageMean):
    """Mean of `negative_log_likelihoods`."""

    def scores(self, probs: Tensor, target: Tensor) -> Tensor:
        """See `negative_log_likelihoods`."""
        return negative_log_likelihoods(probs, target)


class BrierScore(ImageMean):
    """Mean of `brier_scores`."""

    def scores(self, probs: Tensor, target: Tensor) -> Tensor:
        """See `brier_scores`."""
        return brier_scores(probs, target)
