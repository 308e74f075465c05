from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from ordinalclip.backbones.towers.openclip_causal import OpenClipBlock, split_blocks
from ordinalclip.text.shared_prefix import _attend, run_shared
from tests.backbones.makers import tiny_clip


@pytest.fixture(scope="module")
def transformer() -> Any:
    return tiny_clip(layers=3).transformer.double()


def blocks_of(transformer: Any) -> Sequence[OpenClipBlock]:
    blocks = split_blocks(transformer)
    assert blocks is not None
    return blocks


def run(
    transformer: Any, run_them: Callable[[Sequence[OpenClipBlock], Tensor, Tensor, Tensor], Tensor]
) -> tuple[Tensor, ...]:
    """Features of seven sentences of different lengths, with the gradients to prefix, own tokens and a weight."""
    generator = torch.Generator().manual_seed(0)
    prefix = torch.randn(4, 16, dtype=torch.float64, generator=generator, requires_grad=True)
    own = torch.randn(7, 5, 16, dtype=torch.float64, generator=generator, requires_grad=True)
    features = run_them(blocks_of(transformer), prefix, own, torch.tensor([4, 0, 2, 3, 4, 1, 4]))
    weight = transformer.resblocks[1].attn.in_proj_weight
    return features.detach(), *torch.autograd.grad(features.square().sum(), [prefix, own, weight])


def whole(transformer: Any) -> tuple[Tensor, ...]:
    def run_whole(_: object, prefix: Tensor, own: Tensor, last: Tensor) -> Tensor:
        x = torch.cat([prefix.expand(len(own), -1, -1), own], dim=1)
        mask = torch.full((9, 9), float("-inf"), dtype=x.dtype).triu(1)
        return transformer(x, attn_mask=mask)[torch.arange(len(own)), len(prefix) + last]

    return run(transformer, run_whole)


@pytest.mark.parametrize("max_tokens", [1, 10, 14, 34, 35, 1000])
def test_equals_whole_sentences_in_any_chunks(transformer: Any, max_tokens: int) -> None:
    ours = run(transformer, lambda *given: run_shared(*given, max_tokens=max_tokens))
    torch.testing.assert_close(ours, whole(transformer), atol=1e-10, rtol=1e-10)


def test_chunks_leave_little_in_memory(transformer: Any) -> None:
    def kept(max_tokens: int) -> int:
        storages = {}

        def pack(tensor: Tensor) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            alive.append(tensor)
            return tensor

        alive: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            own = torch.randn(200, 3, 16, dtype=torch.float64, requires_grad=True)
            prefix = torch.randn(4, 16, dtype=torch.float64, requires_grad=True)
            features = run_shared(blocks_of(transformer), prefix, own, torch.full((200,), 2), max_tokens=max_tokens)
        assert features.requires_grad
        return sum(storages.values())

    assert kept(60) < kept(1000) / 4


def test_a_single_block_and_evaluation(transformer: Any) -> None:
    last = torch.tensor([1, 2])
    prefix, own = torch.randn(4, 16, dtype=torch.float64), torch.randn(2, 3, 16, dtype=torch.float64)
    block = transformer.resblocks[0]
    x = torch.cat([prefix.expand(2, -1, -1), own], dim=1)
    mask = torch.full((7, 7), float("-inf"), dtype=x.dtype).triu(1)
    with torch.inference_mode():
        expected = block(x, attn_mask=mask)[torch.arange(2), 4 + last]
        for max_tokens in (3, 100):
            ours = run_shared(blocks_of(transformer)[:1], prefix, own, last, max_tokens=max_tokens)
            torch.testing.assert_close(ours, expected)


def test_attention_in_float16_stays_finite_where_only_unscaled_products_would_not() -> None:
    generator = torch.Generator().manual_seed(0)
    near = lambda *shape: 50 + torch.randn(*shape, generator=generator)  # noqa: E731
    queries, own, prefix = near(2, 3, 1, 64), near(2, 3, 4, 64), near(2, 5, 64)
    assert torch.finfo(torch.float16).max < 64 * 50**2
    values = torch.randn(2, 3, 4, 64, generator=generator), torch.randn(2, 5, 64, generator=generator)

    def attended(dtype: torch.dtype) -> Tensor:
        q, k, v, prefix_k, prefix_v = (t.to(dtype) for t in (queries, own, values[0], prefix, values[1]))
        return _attend(q, k, v, (prefix_k, prefix_v), torch.ones(3, 1, 4, dtype=torch.bool))

    found = attended(torch.float16)
    assert torch.isfinite(found).all()
