"""Risk–coverage: mean error of the most confident predictions, as a function of the share that is kept.

Geifman, Uziel and El-Yaniv, "Bias-reduced uncertainty estimation for deep neural classifiers", 2019 (AURC and its
excess over the best order). The risk here is the absolute error of a readout, in ranks.
"""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from ordinalclip.metrics.accumulation import check_num_ranks
from ordinalclip.metrics.readout import read_out

CONFIDENCES = ("expected_error", "max_prob", "entropy")


def confidence(probs: Tensor, how: str, readout: str = "expectation") -> Tensor:
    """Confidence of a model in each image [N], float64.

    Args:
        probs: probabilities [N, R].
        how: `expected_error`: minus the expected absolute error of the readout in ranks, the default; `max_prob`: the
            largest probability; `entropy`: minus the entropy.
        readout: one of `names.READOUTS`.
    """
    probs = probs.double()
    if how == "max_prob":
        return probs.amax(dim=1)
    if how == "entropy":
        return torch.special.xlogy(probs, probs).sum(dim=1)
    ranks = torch.arange(probs.shape[1], device=probs.device)
    return -(probs * (read_out(probs, readout)[:, None] - ranks).abs()).sum(dim=1)


def risk_coverage(error: Tensor, sureness: Tensor) -> Tensor:
    """Mean error of the n most confident images, n = 1…N [N], float64, of errors [N] and confidences [N].

    For images of equal confidence it is the expected value over random orders.
    """
    _, place = torch.unique(-sureness, return_inverse=True)
    sums = torch.zeros(int(place.max()) + 1, dtype=torch.float64, device=error.device)
    mean_N = (sums.index_add(0, place, error.double()) / torch.bincount(place))[place.sort().values]
    return mean_N.cumsum(0) / torch.arange(1, len(error) + 1, device=error.device)


def area(risk: Tensor) -> Tensor:
    """Area under a risk–coverage curve [N]: its mean."""
    return risk.mean()


class AURC(Metric):
    """Area under risk–coverage; see `risk_coverage` and `confidence`. Stores two numbers per image.

    Args:
        num_ranks: R.
        how: one of `CONFIDENCES`.
        readout: one of `names.READOUTS`.
    """

    is_differentiable, higher_is_better, full_state_update = False, False, False
    error: list[Tensor]
    sureness: list[Tensor]

    def __init__(self, num_ranks: int, how: str = "expected_error", readout: str = "expectation") -> None:
        super().__init__()
        self.num_ranks, self.how, self.readout = num_ranks, how, readout
        self.add_state("error", [], dist_reduce_fx="cat")
        self.add_state("sureness", [], dist_reduce_fx="cat")

    def update(self, probs: Tensor, target: Tensor) -> None:
        """Add a batch of probabilities [B, R] and true ranks [B]."""
        check_num_ranks(probs, self.num_ranks)
        self.error.append((read_out(probs, self.readout) - target).abs())
        self.sureness.append(confidence(probs, self.how, self.readout))

    def compute(self) -> Tensor:
        """Of all images so far."""
        return area(risk_coverage(dim_zero_cat(self.error), dim_zero_cat(self.sureness)))
