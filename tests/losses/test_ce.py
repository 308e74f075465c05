import pytest
import torch

from ordinalclip.losses.ce import CrossEntropy
from tests.losses.test_ce_kl import output, slow_ce


def test_equals_the_slow_loop():
    logits, rank = torch.randn(7, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 3, 3, 0])
    terms = CrossEntropy()(output(logits), rank)
    assert set(terms) == {"loss", "ce"}
    assert terms["loss"].item() == pytest.approx(slow_ce(logits, rank))


def test_label_smoothing_mixes_in_the_mean_over_ranks():
    logits, rank = torch.randn(3, 4, dtype=torch.float64), torch.tensor([0, 1, 2])
    even = sum(slow_ce(logits, torch.full((3,), c)) for c in range(4)) / 4
    expected = 0.8 * slow_ce(logits, rank) + 0.2 * even
    assert CrossEntropy(label_smoothing=0.2)(output(logits), rank)["loss"].item() == pytest.approx(expected)
