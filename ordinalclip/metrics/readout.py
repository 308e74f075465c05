"""From a distribution over ranks to one number: argmax, expectation, median."""

import torch
from torch import Tensor


def argmax(probs: Tensor) -> Tensor:
    """The most probable rank [N], integers, of probabilities [N, R]; the lowest of several."""
    return probs.argmax(dim=1)


def expectation(probs: Tensor, values: Tensor | None = None) -> Tensor:
    """The mean [N], float64, of probabilities [N, R].

    Args:
        probs: probabilities [N, R].
        values: what each rank stands for [R], such as years; None: the ranks' indices 0…R-1.
    """
    if values is None:
        values = torch.arange(probs.shape[1], device=probs.device)
    return probs.double() @ values.to(device=probs.device, dtype=torch.float64)


def median(probs: Tensor) -> Tensor:
    """The lowest rank [N], integers, at or below which at least half of the probability [N, R] lies."""
    below = (probs.double().cumsum(dim=1) < 0.5).sum(dim=1)
    # Half a distribution can be rounded away when it was summed in half precision.
    return below.clamp(max=probs.shape[1] - 1)
