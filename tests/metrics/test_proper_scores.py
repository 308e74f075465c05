import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from ordinalclip.metrics.proper_scores import (
    BrierScore,
    NegativeLogLikelihood,
    RankedProbabilityScore,
    negative_log_likelihoods,
    ranked_probability_score,
)
from tests.metrics.test_collection import sample


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


def test_equal_to_scikit_learn_and_numpy_in_batches():
    probs, rank = sample(77)
    probs = probs.double() / probs.double().sum(1, keepdim=True)
    metrics = NegativeLogLikelihood(5), BrierScore(5)
    for metric in metrics:
        for rows in (slice(0, 70), slice(70, 77)):
            metric.update(probs[rows], rank[rows])
    assert float(metrics[0].compute()) == pytest.approx(log_loss(rank, probs, labels=range(5)), rel=1e-6)
    squared = (probs.numpy() - np.eye(5)[rank]) ** 2
    assert float(metrics[1].compute()) == pytest.approx(squared.sum(axis=1).mean())


def test_limits():
    right, wrong, rank = torch.eye(3)[[1]], torch.eye(3)[[0]], torch.tensor([1])
    for probs, brier in ((right, 0), (wrong, 2)):
        metric = BrierScore(3)
        metric.update(probs, rank)
        assert float(metric.compute()) == brier
    assert float(negative_log_likelihoods(right, rank)) == 0
    # A probability that underflowed is finite: one image must not be the whole score.
    assert float(negative_log_likelihoods(wrong, rank)) == pytest.approx(126 * np.log(2))


def test_ranks_must_be_as_many_as_declared():
    with pytest.raises(ValueError, match=r"for 5 ranks: \[images, 5\]"):
        BrierScore(5).update(torch.eye(3), torch.arange(3))
