"""Proper scores: the ranked probability score, which respects the order, negative log-likelihood and Brier score."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ordinalclip.metrics.accumulation import ImageMean

# A softmax in float32 underflows to 0, whose logarithm would make one image the whole score: 87 nats at most.
TINY = float(torch.finfo(torch.float32).tiny)


def ranked_probability_score(probs: Tensor, target: Tensor, *, divide: bool = True) -> Tensor:
    """Mean of Σ_k (P(rank <= k) - 1[target <= k])² over the images; nan where there are none.

    Args:
        probs: probabilities [N, R].
        target: true ranks [N], integers.
        divide: divide by R-1, which brings the score into 0 (sure and right) … 1 (sure of the opposite end). This
            is what the platform logs; without it, the score is that of dlordinal.

    Returns:
        A scalar, float64.
    """
    return _scores(probs, target, divide).mean()


class RankedProbabilityScore(ImageMean):
    """Mean ranked probability score; see `ranked_probability_score`.

    Args:
        num_ranks: R.
        divide: divide by R-1.
    """

    is_differentiable = True

    def __init__(self, num_ranks: int, *, divide: bool = True) -> None:
        super().__init__(num_ranks)
        self.divide = divide

    def scores(self, probs: Tensor, target: Tensor) -> Tensor:
        """Of each image."""
        return _scores(probs, target, self.divide)


def _scores(probs_NR: Tensor, target_N: Tensor, divide: bool) -> Tensor:
    num_ranks = probs_NR.shape[1]
    true_NR = target_N[:, None] <= torch.arange(num_ranks, device=target_N.device)
    # The last column is 1 - 1, so that R ranks have R-1 thresholds.
    score_N = (probs_NR.double().cumsum(dim=1) - true_NR.double())[:, :-1].square().sum(dim=1)
    return score_N / max(num_ranks - 1, 1) if divide else score_N


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
