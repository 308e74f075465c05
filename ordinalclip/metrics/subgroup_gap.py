"""How far the worst group of images is behind the best, where groups are numbered; `metrics.subgroups` names them."""

import torch
from torch import Tensor
from torchmetrics import Metric

from ordinalclip.metrics.declared import check_num_ranks
from ordinalclip.metrics.per_rank import group_sums
from ordinalclip.metrics.readout import read_out
from ordinalclip.metrics.subgroups import MIN_COUNT


def gap(means: Tensor, counts: Tensor, min_count: int = MIN_COUNT) -> Tensor:
    """The largest less the smallest of groups' means [G] with at least `min_count` images [G]; nan for under two."""
    known = means[counts >= min_count]
    return known.max() - known.min() if len(known) > 1 else means.new_tensor(float("nan"))


class SubgroupGap(Metric):
    """Gap between the groups' mean absolute errors; see `gap`. Exact under data parallelism.

    Args:
        num_ranks: R.
        num_groups: G, of the data set; groups that a split lacks are not inferred from it.
        readout: one of `names.READOUTS`.
        min_count: images of a group that counts.
    """

    is_differentiable, higher_is_better, full_state_update = False, False, False
    error: Tensor
    count: Tensor

    def __init__(
        self, num_ranks: int, num_groups: int, readout: str = "expectation", min_count: int = MIN_COUNT
    ) -> None:
        super().__init__()
        self.num_ranks, self.num_groups, self.readout, self.min_count = num_ranks, num_groups, readout, min_count
        self.add_state("error", torch.zeros(num_groups, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(num_groups, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, probs: Tensor, target: Tensor, group: Tensor) -> None:
        """Add a batch of probabilities [B, R], true ranks [B] and numbers of groups below G [B]."""
        check_num_ranks(probs, self.num_ranks)
        sums, counts = group_sums((read_out(probs, self.readout) - target).abs(), group, self.num_groups)
        self.error += sums
        self.count += counts

    def compute(self) -> Tensor:
        """Of all images so far."""
        return gap(self.error / self.count, self.count, self.min_count)
