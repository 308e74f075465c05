"""Metrics over two processes, with batches of different number and size, equal those of one."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from ordinalclip.metrics.collection import RankMetrics
from ordinalclip.metrics.rps import RankedProbabilityScore
from ordinalclip.metrics.within import AccuracyWithin
from tests.metrics.test_collection import VALUES, numbers, sample

SHARES = [[slice(0, 20), slice(20, 33)], [slice(33, 50), slice(50, 60), slice(60, 61)]]


def compute(rows):
    probs, rank = sample(61)
    metrics = RankMetrics(5, VALUES), AccuracyWithin(1), RankedProbabilityScore()
    for part in rows:
        metrics[0].update(probs[part], rank[part])
        metrics[1].update(probs[part].argmax(1), rank[part])
        metrics[2].update(probs[part], rank[part])
    return numbers(metrics[0].compute()) | {"within": float(metrics[1].compute()), "RPS": float(metrics[2].compute())}


def work(process: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=process, world_size=2)
    torch.save(compute(SHARES[process]), Path(folder) / f"{process}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    mp.spawn(work, args=(str(tmp_path),), nprocs=2)
    expected = compute([slice(0, 61)])
    for process in range(2):
        assert torch.load(tmp_path / f"{process}.pt") == pytest.approx(expected, rel=1e-6)
