import math

import pytest
import torch

from ordinalclip.metrics.within import AccuracyWithin, accuracy_within


@pytest.mark.parametrize(("k", "share"), [(0, 1 / 4), (1, 2 / 4), (2, 3 / 4), (9, 1)])
def test_by_hand(k, share):
    preds, target = torch.tensor([3, 1, 0, 5]), torch.tensor([3, 2, 2, 0])
    assert accuracy_within(preds, target, k).item() == share
    metric = AccuracyWithin(k)
    metric.update(preds[:3], target[:3])
    metric.update(preds[3:], target[3:])
    assert metric.compute().item() == share


def test_values_in_a_unit():
    assert accuracy_within(torch.tensor([30.0, 41.0]), torch.tensor([35.0, 35.0]), 5).item() == 0.5


def test_of_nothing():
    assert math.isnan(accuracy_within(torch.tensor([]), torch.tensor([])).item())
