"""Cross entropy alone."""

from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional as F

from ordinalclip.config.kinds import Between
from ordinalclip.model import Output
from ordinalclip.system.distributed import gather_batch


class CrossEntropy(nn.Module):
    """Mean cross entropy of the logits [B, R] with the true ranks [B].

    The mean is over the batch of all processes. To average batches of different sizes, weight them by their number of
    images.

    Args:
        label_smoothing: share of the target that is spread evenly over all ranks.
    """

    def __init__(self, *, label_smoothing: Annotated[float, Between(0, 1)] = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, output: Output, rank: Tensor) -> dict[str, Tensor]:
        """The loss and its one term `ce`."""
        logits_BR, rank_B = gather_batch(
            output.logits, rank
        )  # otherwise a short batch would count as much as a full one
        ce = F.cross_entropy(logits_BR, rank_B, label_smoothing=self.label_smoothing)
        return {"loss": ce, "ce": ce}
