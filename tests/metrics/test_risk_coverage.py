import itertools

import numpy as np
import pytest
import torch

from ordinalclip.metrics.risk_coverage import AURC, CONFIDENCES, area, confidence, risk_coverage
from tests.metrics.test_collection import sample


def test_by_hand_and_whatever_the_order_of_the_images():
    error, sureness = torch.tensor([1.0, 0.0, 4.0]), torch.tensor([0.5, 0.9, 0.1])
    expected = [0, 1 / 2, 5 / 3]
    for order in itertools.permutations(range(3)):
        assert risk_coverage(error[list(order)], sureness[list(order)]).tolist() == pytest.approx(expected)
    assert float(area(risk_coverage(error, sureness))) == pytest.approx(sum(expected) / 3)


def test_ties_are_what_a_random_order_gives():
    error, sureness = torch.tensor([3.0, 0.0, 1.0, 2.0]), torch.tensor([0.5, 0.9, 0.5, 0.5])
    orders = [[0.0, *tied] for tied in itertools.permutations([3.0, 1.0, 2.0])]
    expected = np.mean([np.cumsum(order) / np.arange(1, 5) for order in orders], axis=0)
    assert risk_coverage(error, sureness).tolist() == pytest.approx(expected.tolist())
    assert risk_coverage(error, torch.zeros(4)).tolist() == [1.5] * 4  # a confidence that says nothing


def slow_confidence(row, how):
    if how == "max_prob":
        return max(row)
    if how == "entropy":
        return sum(p * np.log(p) for p in row if p > 0)
    mean = sum(p * k for k, p in enumerate(row))
    return -sum(p * abs(mean - k) for k, p in enumerate(row))


@pytest.mark.parametrize("how", CONFIDENCES)
def test_confidences_and_the_class_in_batches(how):
    probs, rank = sample(60)
    probs[0] = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0])
    sure = [slow_confidence(row, how) for row in probs.double().tolist()]
    assert confidence(probs, how).tolist() == pytest.approx(sure)
    error = np.abs(probs.double().numpy() @ np.arange(5) - rank.numpy())[np.argsort(-np.array(sure), kind="stable")]
    metric = AURC(5, how)
    for rows in (slice(0, 21), slice(21, 60)):
        metric.update(probs[rows], rank[rows])
    assert float(metric.compute()) == pytest.approx((error.cumsum() / np.arange(1, 61)).mean())


def test_no_order_beats_that_of_the_errors():
    probs, rank = sample(60)
    error = (probs.double() @ torch.arange(5.0).double() - rank).abs()
    best = float(area(risk_coverage(error, -error)))
    areas = [float(area(risk_coverage(error, confidence(probs, how)))) for how in CONFIDENCES]
    assert best < min(areas)
    assert float(risk_coverage(error, -error)[-1]) == pytest.approx(float(error.mean()))
