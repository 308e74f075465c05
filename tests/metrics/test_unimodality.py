import itertools

import pytest
import torch

from ordinalclip.metrics.unimodality import UnimodalityRate, unimodal, valley_depths


def slow(row):
    """Some rank is a mode: up to it nothing falls, from it on nothing rises."""
    return any(
        all(a <= b for a, b in itertools.pairwise(row[: k + 1])) and all(a >= b for a, b in itertools.pairwise(row[k:]))
        for k in range(len(row))
    )


def test_equals_the_slow_definition():
    torch.manual_seed(0)
    probs = torch.cat([torch.randint(1, 4, (300, 5)), torch.randint(1, 9, (50, 5)).sort(1).values]).double()
    expected = [slow(row) for row in probs.tolist()]
    assert 0 < sum(expected) < len(expected)
    assert unimodal(probs, 0).tolist() == expected
    metric = UnimodalityRate(5, tolerance=0)
    for rows in (slice(0, 100), slice(100, 350)):
        metric.update(probs[rows], torch.zeros(len(probs[rows])).long())
    assert float(metric.compute()) == pytest.approx(sum(expected) / 350)


def test_depth_and_tolerance():
    probs = torch.tensor([[0.4, 0.1, 0.2, 0.3], [0.5, 0.5, 0.0, 0.0], [0.999, 1e-9, 2e-9, 0.001]])
    assert valley_depths(probs).tolist() == pytest.approx([0.2, 0, 0.001], abs=1e-6)
    assert unimodal(probs).tolist() == [False, True, False]
    assert unimodal(torch.tensor([[0.9, 1e-9, 2e-9, 1e-10]])).tolist() == [True]  # rounding in the tail
