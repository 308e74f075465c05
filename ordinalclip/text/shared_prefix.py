"""A causal transformer over sentences that begin alike: the shared beginning is run once, not once per sentence.

In a causal tower nothing that follows a token reaches it, so the P tokens that all R sentences share have the same
keys and values in every sentence. They are computed once; each sentence then runs only its own T tokens, which attend
to the prefix and to their own past. With R = 101, P = 11, T = 3 that is 314 tokens in place of 101 sentences of 77.

Shapes: R sentences, P prefix tokens, T own tokens, W width, H heads, d = W / H.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

# Own tokens whose activations are kept for the backward pass. More are run in chunks and computed again there: a third
# of the speed gone, for memory that no longer grows with R. ViT-B/16's text tower keeps 0.22 MB a token in float32.
MAX_TOKENS = 4096

QUERIES, KEYS_VALUES, ALL = slice(0, 1), slice(1, 3), slice(0, 3)

KeysValues = tuple[Tensor, Tensor]  # of the prefix: [H, P, d] each


class Block(Protocol):
    """A transformer block as its parts, for N tokens that may belong to any sentences."""

    def project(self, x_NW: Tensor, kinds: slice) -> Tensor:
        """Of (queries, keys, values) those that `kinds` selects, n of them: [N, n, H, d], before scaling."""
        ...

    def finish(self, x_NW: Tensor, attended_NHd: Tensor) -> Tensor:
        """The block's output [N, W] from its input and what attention gives."""
        ...


def run_shared(
    blocks: Sequence[Block],
    prefix_PW: Tensor,
    own_RTW: Tensor,
    last_R: Tensor,
    *,
    allowed_RTT: Tensor | None = None,
    max_tokens: int = MAX_TOKENS,
) -> Tensor:
    """The last block's output [R, W] at each sentence's last token.

    Args:
        blocks: of a causal tower, in order; at least one.
        prefix_PW: the shared tokens, with positions; P may be 0.
        own_RTW: each sentence's further tokens, with positions; what follows the last one is padding, and finite.
        last_R: index of each sentence's last token among its own.
        allowed_RTT: which of its own tokens each one sees; all see the whole prefix. None: itself and those before it.
        max_tokens: own tokens that are run without recomputation in the backward pass.
    """
    num_sentences, num_own = own_RTW.shape[:2]
    if allowed_RTT is None:
        position_T = torch.arange(num_own, device=own_RTW.device)
        allowed_RTT = (position_T <= position_T[:, None]).expand(num_sentences, -1, -1)
    num_chunks = -(-num_sentences // max(1, max_tokens // num_own))
    if num_chunks <= 1:
        # Prefix and own tokens as one batch: with few ranks most of the time goes into reading weights.
        return _run(blocks, prefix_PW, own_RTW, last_R, allowed_RTT, None)
    known = _run_prefix(blocks, prefix_PW)
    chunks = zip(*(tensor.tensor_split(num_chunks) for tensor in (own_RTW, last_R, allowed_RTT)), strict=True)
    # Known blocks draw no random numbers, so the generator's state is not kept.
    rows = [
        checkpoint(
            _run, blocks, prefix_PW[:0], own, last, allowed, known, use_reentrant=False, preserve_rng_state=False
        )
        for own, last, allowed in chunks
    ]
    return torch.cat(rows)


def _run_prefix(blocks: Sequence[Block], x_PW: Tensor) -> list[KeysValues]:
    """Keys and values of the prefix in every block. The last block needs nothing else of it."""
    found = []
    for block in blocks[:-1]:
        attended_PHd, keys_values = _attend_prefix(block.project(x_PW, ALL))
        found.append(keys_values)
        x_PW = block.finish(x_PW, attended_PHd)
    keys, values = _heads_first(blocks[-1].project(x_PW, KEYS_VALUES))
    return [*found, (keys, values)]


def _run(
    blocks: Sequence[Block],
    prefix_PW: Tensor,
    own_RTW: Tensor,
    last_R: Tensor,
    allowed_RTT: Tensor,
    known: list[KeysValues] | None,
) -> Tensor:
    """As `run_shared`, without chunks.

    Args:
        blocks: as there.
        prefix_PW: as there; empty where its keys and values are known.
        own_RTW: as there.
        last_R: as there.
        allowed_RTT: as there.
        known: the prefix's keys and values in every block; None: computed.
    """
    num_prefix, sentences = len(prefix_PW), own_RTW.shape[:2]
    x_NW = torch.cat([prefix_PW, own_RTW.flatten(0, 1)])
    for index, block in enumerate(blocks[:-1]):
        projected = block.project(x_NW, ALL)
        attended_PHd, before = _attend_prefix(projected[:num_prefix])
        queries, keys, values = _heads_first(projected[num_prefix:].unflatten(0, sentences))
        attended = _attend(queries, keys, values, before if known is None else known[index], allowed_RTT)
        x_NW = block.finish(x_NW, torch.cat([attended_PHd, attended.flatten(0, 1)]))

    last = blocks[-1]
    projected = last.project(x_NW, KEYS_VALUES)
    prefix_keys, prefix_values = _heads_first(projected[:num_prefix])
    keys, values = _heads_first(projected[num_prefix:].unflatten(0, sentences))
    x_RW = x_NW[num_prefix:].unflatten(0, sentences).take_along_dim(last_R[:, None, None], dim=1)[:, 0]
    (queries,) = _heads_first(last.project(x_RW, QUERIES)[:, None])
    seen_R1T = allowed_RTT.take_along_dim(last_R[:, None, None], dim=1)
    before = (prefix_keys, prefix_values) if known is None else known[-1]
    return last.finish(x_RW, _attend(queries, keys, values, before, seen_R1T)[:, 0])


def _heads_first(projected: Tensor) -> tuple[Tensor, ...]:
    """Queries, keys, values, or which of them there are, [H, ..., d] each, of projections [..., n, H, d].

    The copy is all that attention keeps for the backward pass: the projection's own result is freed.
    """
    return projected.movedim((-3, -2), (0, 1)).clone(memory_format=torch.contiguous_format).unbind(0)


def _attend_prefix(projected_P3Hd: Tensor) -> tuple[Tensor, KeysValues]:
    """Causal attention [P, H, d] within the prefix, with its keys and values."""
    queries, keys, values = _heads_first(projected_P3Hd)
    if len(projected_P3Hd) == 0:
        return queries.movedim(0, 1), (keys, values)
    attended = F.scaled_dot_product_attention(queries[None], keys[None], values[None], is_causal=True)
    return attended[0].movedim(0, 1), (keys, values)


def _attend(q_HRQd: Tensor, k_HRTd: Tensor, v_HRTd: Tensor, prefix: KeysValues, allowed: Tensor) -> Tensor:
    """Attention [R, Q, H, d] of Q queries a sentence to the whole prefix and to own tokens where `allowed` [.., Q, T].

    Written out, since the fused kernels would want the prefix repeated for every sentence, R × P × W numbers a block.
    The weights that are kept instead are H numbers a pair, which for prompts' few tokens is next to nothing.
    """
    k_HPd, v_HPd = prefix
    num_prefix = k_HPd.shape[1]
    scale = q_HRQd.shape[-1] ** -0.5
    if q_HRQd.dtype == torch.float16:  # which products could go beyond; elsewhere scaled queries would be kept besides
        q_HRQd, scale = q_HRQd * scale, 1.0
    # Against the prefix all sentences are one batch of queries.
    to_prefix = (q_HRQd.flatten(1, 2) @ k_HPd.transpose(1, 2)).unflatten(1, q_HRQd.shape[1:3])
    to_own = (q_HRQd @ k_HRTd.transpose(2, 3)).masked_fill(~allowed, float("-inf"))
    weights = (torch.cat([to_prefix, to_own], dim=-1) * scale).softmax(-1)
    from_prefix = weights[..., :num_prefix].flatten(1, 2) @ v_HPd
    return (from_prefix.view_as(q_HRQd) + weights[..., num_prefix:] @ v_HRTd).movedim(0, 2)
