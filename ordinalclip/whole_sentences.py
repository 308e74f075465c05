"""Sentences run as a whole, in chunks where they are many: for text towers that cannot share what sentences share."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# Tokens whose activations are kept for the backward pass, as `shared_prefix.MAX_TOKENS` but for towers that have no
# cheaper way: 101 sentences of 77 tokens still run in one piece.
MAX_TOKENS = 8192


def run_whole(
    encode: Callable[[Tensor, Tensor], Tensor],
    embeddings: Tensor,
    eot: Tensor,
    *,
    length: int,
    max_tokens: int = MAX_TOKENS,
) -> Tensor:
    """Features [R, D] of sentences [R, L, W] ending at `eot` [R].

    Args:
        encode: a tower's method of this name.
        embeddings: of the sentences.
        eot: index of each sentence's last token.
        length: tokens that the tower runs for each sentence.
        max_tokens: tokens that are run without recomputing anything in the backward pass; more are run in chunks.
    """
    num_chunks = -(-len(eot) // max(1, max_tokens // length))
    if num_chunks <= 1:
        return encode(embeddings, eot)
    chunks = zip(embeddings.tensor_split(num_chunks), eot.tensor_split(num_chunks), strict=True)
    # A tower that is trained may have dropout: the generator's state is kept, so that both passes draw the same.
    return torch.cat([checkpoint(encode, own, last, use_reentrant=False) for own, last in chunks])
