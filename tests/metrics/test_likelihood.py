import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from ordinalclip.metrics.proper_scores import BrierScore, NegativeLogLikelihood, negative_log_likelihoods
from tests.metrics.test_collection import sample


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
