from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ordinalclip.bench import measure
from ordinalclip.bench.measure import alternate, kept_bytes, matrix_peak, operations, peak_bytes


def test_the_ways_take_turns() -> None:
    called: list[str] = []
    seconds = alternate({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, rounds=3)
    assert called == ["a", "b"] * 3
    assert seconds.keys() == {"a", "b"}
    assert all(value >= 0 for value in seconds.values())


def test_of_a_settled_way_the_second_run_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[0])

    def runs_of(*lengths: float) -> Callable[[], None]:
        left = list(lengths)

        def run() -> None:
            now[0] += left.pop(0)

        return run

    ways = {"a": runs_of(1.0, 2.0, 4.0), "b": runs_of(100.0, 3.0, 100.0, 5.0, 100.0, 7.0)}
    assert alternate(ways, rounds=3, settled=["b"]) == {"a": 2.0, "b": 5.0}


def test_kept_bytes_counts_each_storage_once_and_no_weights() -> None:
    layer = nn.Linear(8, 8)
    x = torch.randn(5, 8, requires_grad=True)
    # The layer keeps its input; the square and the view of it keep the same result; sums keep nothing.
    assert kept_bytes(lambda: layer(x).sum(), layer) == 5 * 8 * 4
    assert kept_bytes(lambda: layer(x).square().sum(), layer) == 2 * 5 * 8 * 4
    assert kept_bytes(lambda: (layer(x).view(-1) ** 2).sum(), layer) == 2 * 5 * 8 * 4


def test_what_is_recomputed_is_not_counted() -> None:
    layers = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.GELU()) for _ in range(4)])
    x = torch.randn(50, 8, requires_grad=True)
    assert kept_bytes(lambda: checkpoint(layers, x, use_reentrant=False), layers) < kept_bytes(
        lambda: layers(x), layers
    )


def test_the_peak_counts_temporaries_while_they_live_and_what_was_there_before_not() -> None:
    x = torch.zeros(1000)
    size, number = 4000, 4  # bytes of x, of a sum
    assert peak_bytes(lambda: x + 1) == size
    assert peak_bytes(lambda: (((x + 1) + 1) + 1) + 1) == 2 * size
    assert peak_bytes(lambda: (x + 1).mul_(2).view(10, 100).sum()) == size + number
    assert peak_bytes(lambda: [x + 1, x + 2, x + 3]) == 3 * size
    assert peak_bytes(lambda: x.view(10, 100).t() + 1) == size  # a view of what was there takes nothing


def test_the_peak_of_a_backward_pass_has_what_the_forward_pass_kept() -> None:
    x = torch.zeros(1000, requires_grad=True)
    kept = [4000 * number for number in (3, 6)]
    peaks = [peak_bytes(lambda depth=depth: _exponents(x, depth).backward()) for depth in (3, 6)]
    x.grad = None
    assert [b - a for a, b in zip(kept, peaks, strict=True)] == [peaks[0] - kept[0]] * 2  # temporaries, whatever depth
    assert peaks[0] > kept[0]


def _exponents(x: torch.Tensor, depth: int) -> torch.Tensor:
    for _ in range(depth):
        x = x.exp()  # which keeps its result
    return x.sum()


def test_operations_are_those_of_products_forth_and_back() -> None:
    x, weight = torch.randn(8, 16, requires_grad=True), torch.randn(16, 4, requires_grad=True)
    assert operations(lambda: x @ weight) == 2 * 8 * 16 * 4
    assert operations(lambda: (x @ weight).sum().backward()) == 3 * 2 * 8 * 16 * 4
    q = torch.randn(1, 2, 10, 8, requires_grad=True)
    once = 2 * 2 * 10 * 10 * 8  # of one of attention's products; there are two, and going back five, one of them again
    assert operations(lambda: F.scaled_dot_product_attention(q, q, q)) == 2 * once
    assert operations(lambda: F.scaled_dot_product_attention(q, q, q).sum().backward()) == 7 * once


def test_no_product_is_faster_than_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 2.0, 2.0, 3.0, 3.0, 7.0])  # a round starts and ends
    monkeypatch.setattr(measure, "PEAK_SIDES", (4,))
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(seconds))
    assert matrix_peak(torch.float32, rounds=3) == 2 * 4**3 / 1.0
