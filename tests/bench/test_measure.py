import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ordinalclip.bench.measure import alternate, kept_bytes


def test_the_ways_take_turns() -> None:
    called: list[str] = []
    seconds = alternate({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, rounds=3)
    assert called == ["a", "b"] * 3
    assert seconds.keys() == {"a", "b"}
    assert all(value >= 0 for value in seconds.values())


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
