"""Errors by rank and by subgroup: macro-averaged MAE, the worst rank's MAE, and the gap between subgroups.

Baccianella, Esuli and Sebastiani, "Evaluation measures for ordinal regression", 2009 (macro-averaged MAE); Cruz-Ramírez
et al., 2014 (the largest MAE of a rank). Subgroups are numbered here; `scoring.subgroups` names them.
"""

import torch
from torch import Tensor
from torchmetrics import Metric

from ordinalclip.metrics.accumulation import check_num_ranks
from ordinalclip.metrics.names import MIN_COUNT
from ordinalclip.metrics.readout import read_out


def group_sums(values: Tensor, group: Tensor, num_groups: int) -> tuple[Tensor, Tensor]:
    """Sums [G], float64, and counts [G] of values [N] by group [N], integers below G."""
    sums = torch.zeros(num_groups, dtype=torch.float64, device=values.device)
    return sums.index_add_(0, group, values.double()), torch.bincount(group, minlength=num_groups)


def rank_means(values: Tensor, rank: Tensor, num_ranks: int) -> Tensor:
    """Mean of values [N] over the images of each rank [R]; nan for a rank that no image has."""
    sums, counts = group_sums(values, rank, num_ranks)
    return sums / counts


def macro_mean(means: Tensor) -> Tensor:
    """Mean over the ranks [R] that some image has; those that none has (nan) are left out, not counted as 0."""
    return means.nanmean()


def worst_mean(means: Tensor) -> Tensor:
    """The largest over the ranks [R] that some image has; nan where none has any."""
    known = means[~means.isnan()]
    return known.max() if len(known) else means.new_tensor(float("nan"))


class PerRankMAE(Metric):
    """Mean absolute error of each rank [R]; nan for a rank without images. Exact under data parallelism.

    Args:
        num_ranks: R, of the data set; ranks that a split lacks are not inferred from it.
        readout: one of `names.READOUTS`.
    """

    is_differentiable, higher_is_better, full_state_update = False, False, False
    error: Tensor
    count: Tensor

    def __init__(self, num_ranks: int, readout: str = "expectation") -> None:
        super().__init__()
        self.num_ranks, self.readout = num_ranks, readout
        self.add_state("error", torch.zeros(num_ranks, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(num_ranks, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, probs: Tensor, target: Tensor) -> None:
        """Add a batch of probabilities [B, R] and true ranks [B]."""
        check_num_ranks(probs, self.num_ranks)
        error = (read_out(probs, self.readout) - target).abs()
        sums, counts = group_sums(error, target, self.num_ranks)
        self.error += sums
        self.count += counts

    def compute(self) -> Tensor:
        """Of all images so far."""
        return self.error / self.count


class MacroMAE(PerRankMAE):
    """Mean of the ranks' mean absolute errors (AMAE); ranks without images are left out."""

    def compute(self) -> Tensor:
        """Of all images so far."""
        return macro_mean(super().compute())


class WorstRankMAE(PerRankMAE):
    """The largest of the ranks' mean absolute errors (MMAE); ranks without images are left out."""

    def compute(self) -> Tensor:
        """Of all images so far."""
        return worst_mean(super().compute())


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
