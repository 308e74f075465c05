import itertools
import math

import pytest
import torch
from scipy.stats import rankdata, spearmanr

from ordinalclip.metrics.correlation import average_places, kendall, spearman


def slow(x, y):
    """Pair by pair."""
    agreed = tied_x = tied_y = pairs = 0
    for (a, b), (c, d) in itertools.combinations(zip(x, y, strict=True), 2):
        agreed += (a > c) - (a < c) if b > d else (a < c) - (a > c) if b < d else 0
        tied_x, tied_y, pairs = tied_x + (a == c), tied_y + (b == d), pairs + 1
    return agreed / math.sqrt((pairs - tied_x) * (pairs - tied_y))


def test_equals_the_slow_loop_with_ties():
    torch.manual_seed(0)
    x, y = torch.randint(6, (60,)).double(), torch.randint(4, (60,))
    assert kendall(x, y) == pytest.approx(slow(x.tolist(), y.tolist()))
    assert kendall(x, -x) == pytest.approx(-1)


def test_not_defined_is_no_association():
    assert kendall(torch.ones(5), torch.arange(5)) == 0
    assert kendall(torch.arange(5), torch.ones(5)) == 0
    assert kendall(torch.ones(1), torch.ones(1)) == 0


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
