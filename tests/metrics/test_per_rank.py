import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import mean_absolute_error

from ordinalclip.metrics.per_rank import (
    MacroMAE,
    PerRankMAE,
    SubgroupGap,
    WorstRankMAE,
    gap,
    macro_mean,
    rank_means,
    worst_mean,
)
from ordinalclip.metrics.readout import read_out
from ordinalclip.scoring.predictions import Predictions
from ordinalclip.scoring.subgroups import subgroups
from tests.metrics.test_collection import VALUES, sample


def slow(probs, rank):
    """By scikit-learn, rank by rank, of those that some image has."""
    mean = probs.double().numpy() @ np.arange(5)
    return {int(r): mean_absolute_error(rank[rank == r], mean[rank.numpy() == r]) for r in rank.unique()}


def test_equals_scikit_learn_rank_by_rank():
    probs, rank = sample(90)
    expected = list(slow(probs, rank).values())
    metrics = PerRankMAE(5), MacroMAE(5), WorstRankMAE(5)
    for metric in metrics:
        for rows in (slice(0, 50), slice(50, 90)):
            metric.update(probs[rows], rank[rows])
    assert metrics[0].compute().tolist() == pytest.approx(expected)
    assert float(metrics[1].compute()) == pytest.approx(np.mean(expected))
    assert float(metrics[2].compute()) == pytest.approx(max(expected))


def test_ranks_without_images_are_left_out_and_not_free_of_error():
    probs, rank = sample(90)
    some = (rank == 1) | (rank == 4)
    expected = slow(probs[some], rank[some])
    metrics = PerRankMAE(5), MacroMAE(5), WorstRankMAE(5)
    for metric in metrics:
        metric.update(probs[some], rank[some])
    assert metrics[0].compute().isnan().tolist() == [True, False, True, True, False]
    assert float(metrics[1].compute()) == pytest.approx((expected[1] + expected[4]) / 2)
    assert float(metrics[2].compute()) == pytest.approx(max(expected.values()))
    nothing = torch.zeros(0)
    means = rank_means(nothing, nothing.long(), 3)
    assert math.isnan(macro_mean(means))
    assert math.isnan(worst_mean(means))


def test_a_frequent_rank_counts_once():
    probs, rank = torch.eye(3)[[0] * 99 + [0]], torch.tensor([0] * 99 + [2])
    macro = MacroMAE(3)
    macro.update(probs, rank)
    assert float(macro.compute()) == 1  # (0 + 2) / 2, where the mean over images is 0.02


def test_the_readout_is_the_one_declared():
    probs, rank = torch.tensor([[0.5, 0.1, 0.4]]), torch.tensor([0])
    for readout, error in {"expectation": 0.9, "argmax": 0.0, "median": 0.0, "rounded_expectation": 1.0}.items():
        metric = PerRankMAE(3, readout)
        metric.update(probs, rank)
        assert float(metric.compute()[0]) == pytest.approx(error)


@pytest.mark.parametrize("readout", ["expectation", "argmax"])
def test_equals_pandas_and_the_named_groups(readout: str) -> None:
    probs, rank = sample(200)
    group = torch.tensor([0] * 90 + [1] * 75 + [3] * 35)[
        torch.randperm(200, generator=torch.Generator().manual_seed(0))
    ]
    error = (read_out(probs, readout) - rank).abs().numpy()
    means = pd.Series(error).groupby(group.numpy()).mean()
    metric = SubgroupGap(5, 4, readout)
    for rows in (slice(0, 130), slice(130, 200)):
        metric.update(probs[rows], rank[rows], group[rows])
    assert float(metric.compute()) == pytest.approx(means.max() - means.min())
    site = pd.Series(group.numpy()).map({0: "a", 1: "b", 3: "c"})
    named = Predictions(
        probs.numpy(), rank.numpy(), list("abcde"), np.array(VALUES), "", readout, attributes={"site": site}
    )
    assert float(metric.compute()) == pytest.approx(subgroups(error, named)["by"]["site"]["gap"])


def test_small_groups_do_not_count() -> None:
    means, counts = torch.tensor([1.0, 2.0, 9.0, float("nan")]), torch.tensor([30, 31, 29, 0])
    assert float(gap(means, counts)) == 1
    assert float(gap(means, counts, min_count=1)) == 8
    assert math.isnan(gap(means, counts, min_count=31))
    with pytest.raises(ValueError, match="for 4 ranks"):
        SubgroupGap(4, 2).update(torch.zeros(3, 5), torch.zeros(3).long(), torch.zeros(3).long())
