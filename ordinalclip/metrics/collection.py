"""The metrics of a run, from accumulated predictions. N images, R ranks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_cohen_kappa,
)
from torchmetrics.functional.regression import mean_absolute_error
from torchmetrics.utilities.data import dim_zero_cat

from ordinalclip.metrics.accumulation import check_num_ranks
from ordinalclip.metrics.correlation import spearman
from ordinalclip.metrics.names import ECE_BINS
from ordinalclip.metrics.proper_scores import ranked_probability_score
from ordinalclip.metrics.readout import argmax, expectation, median, rounded_expectation
from ordinalclip.metrics.within import accuracy_within


def rank_metrics(probs: Tensor, rank: Tensor, rank_values: Tensor) -> dict[str, Tensor]:
    """All metrics of predictions.

    | name | of | what |
    |---|---|---|
    | `mae` | expectation | mean absolute error in ranks, the primary one |
    | `mae_value` | expectation of the values | mean absolute error in the data set's unit |
    | `mae_argmax`, `mae_median`, `mae_rounded_expectation` | the readout | mean absolute error in ranks |
    | `accuracy`, `accuracy_within_1`, `qwk` | argmax | shares of images (micro); quadratic weighted kappa |
    | `accuracy_expectation` | expectation, rounded (halves to even) | share of images |
    | `spearman` | expectation | rank correlation |
    | `rps` | distribution | ranked probability score, divided by R-1 |
    | `ece` | distribution | expected calibration error of the argmax, L1, 15 bins |

    Every image must be included once. `qwk` is 0 if all targets and predictions are equal, `spearman` if all targets or
    all predictions are equal. All metrics are nan if a probability is not finite, since argmax would treat nan as a
    maximum.

    Args:
        probs: probabilities [N, R], N at least 1.
        rank: true ranks [N], integers.
        rank_values: the value of each rank [R].

    Returns:
        Scalars, by name.
    """
    num_ranks = len(rank_values)
    mean_N, mode_N, rank_N = expectation(probs), argmax(probs), rank.double()
    # torchmetrics does not support kappa or accuracy of a single class.
    num_classes = max(num_ranks, 2)
    qwk = multiclass_cohen_kappa(mode_N, rank, num_classes, weights="quadratic").nan_to_num(0.0)
    metrics = {
        "mae": mean_absolute_error(mean_N, rank_N),
        "mae_value": mean_absolute_error(expectation(probs, rank_values), rank_values.double()[rank]),
        "mae_argmax": mean_absolute_error(mode_N.double(), rank_N),
        "mae_median": mean_absolute_error(median(probs).double(), rank_N),
        "mae_rounded_expectation": mean_absolute_error(rounded_expectation(probs).double(), rank_N),
        "accuracy": multiclass_accuracy(mode_N, rank, num_classes, average="micro"),
        "accuracy_expectation": (mean_N.round() == rank_N).double().mean(),
        "accuracy_within_1": accuracy_within(mode_N, rank, 1),
        "qwk": qwk,
        "spearman": spearman(mean_N, rank_N),
        "rps": ranked_probability_score(probs, rank),
        "ece": multiclass_calibration_error(probs, rank, num_ranks, n_bins=ECE_BINS, norm="l1"),
    }
    if not bool(probs.isfinite().all()):
        return {name: torch.full_like(value, float("nan")) for name, value in metrics.items()}
    return metrics


class RankMetrics(Metric):
    """Collects predictions over batches and processes, then computes `rank_metrics` of all of them at once.

    Exact under data parallelism as long as no image is counted twice; nothing is averaged over batches.

    Args:
        num_ranks: R.
        rank_values: the value of each rank, R numbers.
    """

    is_differentiable, higher_is_better, full_state_update = False, None, False
    probs: list[Tensor]
    rank: list[Tensor]
    rank_values: Tensor

    def __init__(self, num_ranks: int, rank_values: Sequence[float]) -> None:
        super().__init__()
        if len(rank_values) != num_ranks:
            raise ValueError(f"{len(rank_values)} values for {num_ranks} ranks")
        self.register_buffer("rank_values", torch.tensor(list(rank_values), dtype=torch.float64), persistent=False)
        self.add_state("probs", [], dist_reduce_fx="cat")
        self.add_state("rank", [], dist_reduce_fx="cat")

    def update(self, probs: Tensor, rank: Tensor) -> None:
        """Add a batch of probabilities [B, R], summing to 1, and true ranks [B]."""
        check_num_ranks(probs, len(self.rank_values))
        self.probs.append(probs.detach().float())
        self.rank.append(rank)

    def compute(self) -> dict[str, Tensor]:
        """Metrics of all images so far, by name; see `rank_metrics`."""
        return rank_metrics(dim_zero_cat(self.probs), dim_zero_cat(self.rank), self.rank_values)
