"""The mean of a score that every image has on its own."""

import torch
from torch import Tensor
from torchmetrics import Metric

from ordinalclip.metrics.declared import check_num_ranks


class ImageMean(Metric):
    """Sums an image's score over batches and processes; a subclass says what the score is.

    Exact under data parallelism as long as no image is counted twice. nan where there was no image.

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
