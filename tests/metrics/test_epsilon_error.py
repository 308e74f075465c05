import math

import pytest
import torch

from ordinalclip.metrics.epsilon_error import EpsilonError, epsilon_errors


def test_by_the_formula_in_batches():
    preds, mean, deviation = [20.0, 31.5, 40.0, 7.0], [20.0, 30.0, 50.0, 8.0], [2.0, 3.0, 5.0, 0.5]
    expected = [1 - math.exp(-((p - m) ** 2) / (2 * s * s)) for p, m, s in zip(preds, mean, deviation, strict=True)]
    rows = torch.tensor(preds), torch.tensor(mean), torch.tensor(deviation)
    assert epsilon_errors(*rows).tolist() == pytest.approx(expected)
    metric = EpsilonError()
    metric.update(*(column[:3] for column in rows))
    metric.update(*(column[3:] for column in rows))
    assert float(metric.compute()) == pytest.approx(sum(expected) / 4)


def test_annotators_who_all_agree_and_images_whose_deviation_is_not_known():
    found = epsilon_errors(torch.tensor([5.0, 6.0]), torch.tensor([5.0, 5.0]), torch.zeros(2))
    assert found.tolist() == [0, 1]
    metric = EpsilonError()
    metric.update(torch.tensor([5.0, 6.0]), torch.tensor([5.0, 5.0]), torch.tensor([float("nan"), 0.0]))
    assert float(metric.compute()) == 1
    metric.reset()
    metric.update(torch.tensor([5.0]), torch.tensor([5.0]), torch.tensor([float("nan")]))
    assert math.isnan(metric.compute())
