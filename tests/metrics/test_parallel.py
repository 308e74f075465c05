"""Metrics over two processes, with batches of different number and size, equal those of one."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torchmetrics import Metric

from ordinalclip.metrics.collection import RankMetrics
from ordinalclip.metrics.epsilon_error import EpsilonError
from ordinalclip.metrics.per_rank import MacroMAE, SubgroupGap, WorstRankMAE
from ordinalclip.metrics.proper_scores import BrierScore, NegativeLogLikelihood, RankedProbabilityScore
from ordinalclip.metrics.reliability import PITHistogram, ThresholdCalibration
from ordinalclip.metrics.risk_coverage import AURC
from ordinalclip.metrics.unimodality import UnimodalityRate
from ordinalclip.metrics.within import AccuracyWithin
from tests import warm
from tests.metrics.test_collection import VALUES, numbers, sample

SHARES = [[slice(0, 20), slice(20, 33)], [slice(33, 50), slice(50, 60), slice(60, 61)]]


def compute(rows):
    probs, rank = sample(61)
    metrics = RankMetrics(5, VALUES), AccuracyWithin(1), RankedProbabilityScore(5)
    others: list[Metric] = [MacroMAE(5), WorstRankMAE(5), NegativeLogLikelihood(5), BrierScore(5), UnimodalityRate(5)]
    others += [ThresholdCalibration(5), PITHistogram(5), AURC(5)]
    epsilon, of_groups = EpsilonError(), SubgroupGap(5, 3, min_count=1)
    for part in rows:
        metrics[0].update(probs[part], rank[part])
        metrics[1].update(probs[part].argmax(1), rank[part])
        metrics[2].update(probs[part], rank[part])
        for metric in others:
            metric.update(probs[part], rank[part])
        of_groups.update(probs[part], rank[part], rank[part] // 2)
        epsilon.update(probs[part].argmax(1), rank[part], 1.0 + rank[part])
    found = numbers(metrics[0].compute()) | {"within": float(metrics[1].compute()), "RPS": float(metrics[2].compute())}
    for metric in (*others, epsilon, of_groups):
        values = metric.compute().flatten().tolist()
        found |= {f"{type(metric).__name__} {place}": value for place, value in enumerate(values)}
    return found


def work(process: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=process, world_size=2)
    torch.save(compute(SHARES[process]), Path(folder) / f"{process}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    warm.together(work, 2, tmp_path)
    expected = compute([slice(0, 61)])
    for process in range(2):
        assert torch.load(tmp_path / f"{process}.pt") == pytest.approx(expected, rel=1e-6)
