import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from ordinalclip.metrics.reliability import PITHistogram, pit_moments, pit_sums
from tests.metrics.test_collection import sample


def test_it_is_the_mean_of_the_randomised_histogram():
    probs, rank = sample(40)
    rng = np.random.default_rng(0)
    upper = probs.double().numpy().cumsum(axis=1)[np.arange(40), rank]
    lower = upper - probs.double().numpy()[np.arange(40), rank]
    drawn = lower + (upper - lower) * rng.random((20_000, 40))
    counts = np.histogram(drawn, bins=10, range=(0, 1))[0] / 20_000
    metric = PITHistogram(5)
    for rows in (slice(0, 30), slice(30, 40)):
        metric.update(probs[rows], rank[rows])
    assert pit_sums(probs, rank).tolist() == pytest.approx(counts, abs=0.05)
    assert metric.compute().tolist() == pytest.approx(counts / 4, abs=0.0125)
    mean, variance = pit_moments(probs, rank)
    assert float(mean) == pytest.approx(drawn.mean(), abs=0.002)
    assert float(variance) == pytest.approx(drawn.var(), abs=0.002)


def test_flat_where_ranks_are_drawn_from_the_predictions():
    generator = torch.Generator().manual_seed(0)
    probs = (1.5 * torch.randn(20_000, 6, generator=generator)).softmax(1)
    rank = torch.multinomial(probs, 1, generator=generator).squeeze(1)
    assert chisquare(pit_sums(probs, rank)).pvalue > 0.01
    mean, variance = pit_moments(probs, rank)
    assert float(mean) == pytest.approx(0.5, abs=0.01)
    assert float(variance) == pytest.approx(1 / 12, abs=0.002)
    sharper = probs.pow(3) / probs.pow(3).sum(1, keepdim=True)
    assert float(pit_moments(sharper, rank)[1]) > 0.1  # too sure: both ends are high


def test_points_and_ends_lose_no_image():
    probs = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.5, 0.5, 0.0]])
    for rank, expected in (([0, 0, 2, 1], [0.5, 0.5]), ([2, 1, 0, 0], None)):
        sums = pit_sums(probs, torch.tensor(rank), bins=2)
        assert float(sums.sum()) == pytest.approx(4)
        if expected is not None:  # three whole stretches 0…1, and one 0.5…1
            assert sums.tolist() == pytest.approx([1.5, 2.5])
    assert pit_sums(probs[:1], torch.tensor([2]), bins=2).tolist() == pytest.approx([0, 1])  # y is far too high
    assert pit_sums(probs[2:3], torch.tensor([0]), bins=2).tolist() == pytest.approx([1, 0])
