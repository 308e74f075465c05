import pytest
import torch

from ordinalclip.metrics.proper_scores import RankedProbabilityScore, ranked_probability_score


def slow_rps(probs, target):
    total = 0.0
    for row, y in zip(probs.tolist(), target.tolist(), strict=True):
        for k in range(len(row)):
            total += (sum(row[: k + 1]) - (y <= k)) ** 2
    return total / len(target)


def test_equals_the_slow_loop_in_batches_too():
    torch.manual_seed(0)
    probs, target = torch.randn(9, 6).softmax(1), torch.randint(6, (9,))
    expected = slow_rps(probs, target)
    assert ranked_probability_score(probs, target, divide=False).item() == pytest.approx(expected, rel=1e-6)
    assert ranked_probability_score(probs, target).item() == pytest.approx(expected / 5, rel=1e-6)
    for divide in (True, False):
        metric = RankedProbabilityScore(6, divide=divide)
        for rows in (slice(0, 4), slice(4, 8), slice(8, 9)):
            metric.update(probs[rows], target[rows])
        assert metric.compute().item() == pytest.approx(expected / 5 if divide else expected, rel=1e-6)


def test_range():
    right, wrong = torch.eye(4)[[0]], torch.eye(4)[[3]]
    target = torch.tensor([0])
    assert ranked_probability_score(right, target).item() == 0
    assert ranked_probability_score(wrong, target).item() == 1
    assert ranked_probability_score(wrong, target, divide=False).item() == 3


def test_two_ranks_are_the_brier_score():
    probs, target = torch.tensor([[0.7, 0.3], [0.2, 0.8]]), torch.tensor([0, 0])
    assert ranked_probability_score(probs, target).item() == pytest.approx((0.3**2 + 0.8**2) / 2)
