"""No metric takes the number of ranks from the images that it happens to be shown."""

from collections.abc import Callable

import pytest
import torch
from torchmetrics import Metric

from ordinalclip.metrics.collection import RankMetrics
from ordinalclip.metrics.per_rank import MacroMAE, PerRankMAE, WorstRankMAE
from ordinalclip.metrics.proper_scores import BrierScore, NegativeLogLikelihood, RankedProbabilityScore
from ordinalclip.metrics.reliability import PITHistogram, ThresholdCalibration
from ordinalclip.metrics.risk_coverage import AURC
from ordinalclip.metrics.unimodality import UnimodalityRate
from tests.metrics.test_collection import sample

METRICS: list[Callable[[int], Metric]] = [
    *(PerRankMAE, MacroMAE, WorstRankMAE, NegativeLogLikelihood, BrierScore, RankedProbabilityScore, UnimodalityRate),
    *(ThresholdCalibration, PITHistogram, AURC),
    lambda num_ranks: RankMetrics(num_ranks, range(num_ranks)),
]


@pytest.mark.parametrize("make", METRICS)
def test_another_number_of_ranks_is_refused(make: Callable[[int], Metric]) -> None:
    probs, rank = sample(8)
    make(5).update(probs, rank)
    for num_ranks in (4, 6):
        with pytest.raises(ValueError, match=rf"shape \[8, 5\] for {num_ranks} ranks"):
            make(num_ranks).update(probs, rank)
    with pytest.raises(ValueError, match="for 5 ranks"):
        make(5).update(torch.zeros(8), rank)
