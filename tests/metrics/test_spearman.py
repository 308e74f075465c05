import pytest
import torch
from scipy.stats import rankdata, spearmanr

from ordinalclip.metrics.correlation import average_places, spearman


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_equals_scipy_with_and_without_ties(levels):
    torch.manual_seed(0)
    preds, target = torch.randint(levels, (200,)).double(), torch.randint(5, (200,))
    assert average_places(preds).tolist() == rankdata(preds.numpy()).tolist()
    assert spearman(preds, target).item() == pytest.approx(spearmanr(preds.numpy(), target.numpy()).statistic)


def test_limits():
    values = torch.arange(10.0)
    assert spearman(values, values.exp()).item() == pytest.approx(1)
    assert spearman(values, -values).item() == pytest.approx(-1)


def test_constants_are_associated_with_nothing():
    values, constant = torch.arange(10.0), torch.full((10,), 0.1)
    assert spearman(values, constant).item() == 0
    assert spearman(constant, values).item() == 0
    assert spearman(torch.tensor([1.0]), torch.tensor([1])).item() == 0


def test_many_ties_do_not_overflow():
    # With int32 sums this many images in few ranks came out at -0.95.
    torch.manual_seed(0)
    target = torch.randint(5, (300_000,))
    preds = target + 0.5 * torch.randn(300_000)
    assert spearman(preds, target).item() == pytest.approx(spearmanr(preds.numpy(), target.numpy()).statistic)
