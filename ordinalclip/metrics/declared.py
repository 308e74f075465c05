"""The number of ranks is the data set's, never what a batch happens to hold."""

from torch import Tensor


def check_num_ranks(probs: Tensor, num_ranks: int) -> None:
    """Refuses probabilities [B, R'] of another number of ranks than was declared.

    Raises:
        ValueError: R' is not `num_ranks`.
    """
    if probs.ndim != 2 or probs.shape[1] != num_ranks:
        raise ValueError(f"probabilities of shape {list(probs.shape)} for {num_ranks} ranks: [images, {num_ranks}]")
