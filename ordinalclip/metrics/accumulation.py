"""What metrics that accumulate over batches share: the check of the number of ranks, and means over images.

The number of ranks R is the data set's; it is never inferred from a batch.
"""

import torch
from torch import Tensor
from torchmetrics import Metric


def check_num_ranks(probs: Tensor, num_ranks: int) -> None:
    """Refuses probabilities [B, R'] of another number of ranks than was declared.

    Raises:
        ValueError: R' is not `num_ranks`.
    """
    if probs.ndim != 2 or probs.shape[1] != num_ranks:
        raise ValueError(f"probabilities of shape {list(probs.shape)} for {num_ranks} ranks: [images, {num_ranks}]")


class ImageMean(Metric):
    """Sums an image's score over batches and processes; a subclass computes the score.

    Exact under data parallelism as long as no image is counted twice. nan where there was no image.

    Example:
        class BrierScore(ImageMean):
            def scores(self, probs: Tensor, target: Tensor) -> Tensor:
                return brier_scores(probs, target)

    Args:
        num_ranks: R.
    """

    is_differentiable, higher_is_better, full_state_update = False, False, False
    score: Tensor
    total: Tensor

    def __init__(self, num_ranks: int) -> None:
        super().__init__()
        self.num_ranks = num_ranks
        self.add_state("score", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    def scores(self, probs: Tensor, target: Tensor) -> Tensor:
        """The scores [B], float64, of probabilities [B, R] and true ranks [B]."""
        raise NotImplementedError

    def update(self, probs: Tensor, target: Tensor) -> None:
        """Add a batch of probabilities [B, R] and true ranks [B].

        Raises:
            ValueError: for other than R probabilities an image.
        """
        check_num_ranks(probs, self.num_ranks)
        self.score += self.scores(probs, target).sum()
        self.total += target.numel()

    def compute(self) -> Tensor:
        """The mean over all images so far."""
        return self.score / self.total
