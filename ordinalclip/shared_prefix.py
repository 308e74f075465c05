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

# Own tokens whose activations are kept for the backward pass. More are run in chunks and computed again there: half the
# speed gone for memory that no longer grows with R. CLIP's ViT-B/16 keeps about 0.3 MB per token, in float32.
MAX_TOKENS = 4096

KeysValues = tuple[Tensor, Tensor]  # keys and values [H, P, d]


class Block(Protocol):
    """A transformer block as its parts, for tokens x [..., W] of any leading shape; heads come first."""

    def queries(self, x: Tensor) -> Tensor:
        """Queries [H, ..., d], before scaling."""
        ...

    def keys_values(self, x: Tensor) -> KeysValues:
        """Keys and values [H, ..., d]."""
        ...

    def queries_keys_values(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All three at once, which is quicker."""
        ...

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """The block's output [..., W] from its input and the attention's result [H, ..., d]."""
        ...


def run_shared(
    blocks: Sequence[Block], prefix_PW: Tensor, own_RTW: Tensor, last_R: Tensor, *, max_tokens: int = MAX_TOKENS
) -> Tensor:
    """What the last block makes of each sentence's last token: [R, W].

    Args:
        blocks: of a causal tower, in order; at least one.
        prefix_PW: the shared tokens, with positions; P may be 0.
        own_RTW: each sentence's further tokens, with positions; what stands behind the last one is padding, and finite.
        last_R: index of each sentence's last token among its own.
        max_tokens: own tokens that are run without recomputing anything in the backward pass.
    """
    num_sentences, num_own = own_RTW.shape[:2]
    num_chunks = -(-num_sentences // max(1, max_tokens // num_own))
    prefix = _run_prefix(blocks, prefix_PW)
    if num_chunks <= 1:
        return _run_own(blocks, prefix, own_RTW, last_R)
    chunks = zip(own_RTW.tensor_split(num_chunks), last_R.tensor_split(num_chunks), strict=True)
    # Nothing in a block we know is drawn at random, so there is no generator's state to keep.
    rows = [
        checkpoint(_run_own, blocks, prefix, own, last, use_reentrant=False, preserve_rng_state=False)
        for own, last in chunks
    ]
    return torch.cat(rows)


def _run_prefix(blocks: Sequence[Block], x_PW: Tensor) -> list[KeysValues]:
    """Keys and values of the prefix in every block. The last block needs nothing else of it."""
    found = []
    for block in blocks[:-1]:
        queries, keys, values = block.queries_keys_values(x_PW)
        found.append((keys, values))
        if len(x_PW) > 0:
            attended = F.scaled_dot_product_attention(queries[None], keys[None], values[None], is_causal=True)[0]
            x_PW = block.finish(x_PW, attended)
    found.append(blocks[-1].keys_values(x_PW))
    return found


def _run_own(blocks: Sequence[Block], prefix: list[KeysValues], x_RTW: Tensor, last_R: Tensor) -> Tensor:
    """The sentences' own tokens through all blocks; in the last one only what each last token asks for."""
    position_T = torch.arange(x_RTW.shape[1], device=x_RTW.device)
    causal_TT = position_T <= position_T[:, None]
    for block, before in zip(blocks[:-1], prefix[:-1], strict=True):
        queries, keys, values = block.queries_keys_values(x_RTW)
        x_RTW = block.finish(x_RTW, _attend(queries, keys, values, before, causal_TT))
    keys, values = blocks[-1].keys_values(x_RTW)
    x_R1W = x_RTW.take_along_dim(last_R[:, None, None], dim=1)
    past_R1T = position_T <= last_R[:, None, None]
    attended = _attend(blocks[-1].queries(x_R1W), keys, values, prefix[-1], past_R1T)
    return blocks[-1].finish(x_R1W, attended)[:, 0]


def _attend(q_HRQd: Tensor, k_HRTd: Tensor, v_HRTd: Tensor, prefix: KeysValues, allowed: Tensor) -> Tensor:
    """Attention [H, R, Q, d] of Q queries a sentence to the whole prefix and to own tokens where `allowed` [.., Q, T].

    Written out, since the fused kernels would want the prefix repeated for every sentence, R × P × W numbers a block.
    The weights that are kept instead are H numbers a pair, which for prompts' few tokens is next to nothing.
    """
    k_HPd, v_HPd = prefix
    num_prefix = k_HPd.shape[1]
    # Against the prefix all sentences are one batch of queries.
    to_prefix = (q_HRQd.flatten(1, 2) @ k_HPd.transpose(1, 2)).unflatten(1, q_HRQd.shape[1:3])
    to_own = (q_HRQd @ k_HRTd.transpose(2, 3)).masked_fill(~allowed, float("-inf"))
    weights = (torch.cat([to_prefix, to_own], dim=-1) * q_HRQd.shape[-1] ** -0.5).softmax(-1)
    from_prefix = weights[..., :num_prefix].flatten(1, 2) @ v_HPd
    return from_prefix.view_as(q_HRQd) + weights[..., num_prefix:] @ v_HRTd
