import itertools
import math

import pytest
import torch

from ordinalclip.metrics.correlation import kendall


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
