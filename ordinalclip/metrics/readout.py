"""From a distribution over ranks to one number: argmax, expectation, median, rounded expectation."""

import torch
from torch import Tensor


def argmax(probs: Tensor) -> Tensor:
    """The most probable rank [N], integers, of probabilities [N, R]; the lowest of several."""
    return probs.argmax(dim=1)


def expectation(probs: Tensor, values: Tensor | None = None) -> Tensor:
    """The mean [N], float64, of probabilities [N, R].

    Args:
        probs: probabilities [N, R].
        values: the value of each rank [R], such as years; None: the ranks' indices 0…R-1.
    """
    if values is None:
        values = torch.arange(probs.shape[1], device=probs.device)
    return probs.double() @ values.to(device=probs.device, dtype=torch.float64)


def median(probs: Tensor) -> Tensor:
    """The lowest rank [N], integers, at or below which at least half of the probability [N, R] lies."""
    below = (probs.double().cumsum(dim=1) < 0.5).sum(dim=1)
    # Half a distribution can be rounded away when it was summed in half precision.
    return below.clamp(max=probs.shape[1] - 1)


def rounded_expectation(probs: Tensor) -> Tensor:
    """The rank [N], integers, nearest to the mean of probabilities [N, R]; of two, the even one."""
    last = probs.shape[1] - 1
    return expectation(probs).nan_to_num().round().clamp(0, last).long()


def read_out(probs: Tensor, readout: str, values: Tensor | None = None) -> Tensor:
    """A readout by its name [N], float64.

    Args:
        probs: probabilities [N, R].
        readout: one of `names.READOUTS`.
        values: the value of each rank [R]: the answer is in their unit, the expectation being that of the values,
            all others the value of a rank. None: the answer is in ranks.
    """
    if readout == "expectation":
        return expectation(probs, values)
    rank_N = {"argmax": argmax, "median": median, "rounded_expectation": rounded_expectation}[readout](probs)
    return rank_N.double() if values is None else values.to(device=probs.device, dtype=torch.float64)[rank_N]
