"""From prompts as token embeddings to one feature per rank.

A text tower takes embeddings, not words, so learned tokens can be anywhere in a sentence. `TextTower` is what every
tower has in common; the towers are in `ordinalclip.backbones.towers`. `run_whole` runs sentences as a whole, in chunks
where there are many, for towers that cannot share a prefix.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

# Tokens whose activations are kept for the backward pass, as `shared_prefix.MAX_TOKENS` but for towers that have no
# cheaper way: 101 sentences of 77 tokens still run in one piece.
MAX_TOKENS = 8192

_LOGGER = logging.getLogger(__name__)
_logged: set[str] = set()
# Tokens that a GPU was measured to run faster than it launches what shares a prefix, see `runs_faster_whole`.
_FEW_TOKENS = 8 * 77
_FEW_TOKENS_IN_HALF = 101 * 77


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


class TextTower(Protocol):
    """A text tower, also an `nn.Module`.

    Attributes:
        width: W, the width of a token's embedding.
        embed_dim: D, the width of what `encode` returns.
        context_length: the longest sentence in tokens, special ones included.
        prefix_ids: special tokens in front of every sentence.
        suffix_ids: special tokens behind every sentence; the last one is where the sentence ends (EOT).
        pad_id: the token that fills up shorter sentences.
        trims: whether padding can be cut off; a tower that attends to padding always runs `context_length` tokens.
    """

    width: int
    embed_dim: int
    context_length: int
    prefix_ids: list[int]
    suffix_ids: list[int]
    pad_id: int
    trims: bool

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens."""
        ...

    def embed(self, ids: Tensor) -> Tensor:
        """Token embeddings [..., W] of ids [...], without positions."""
        ...

    def encode(self, embeddings: Tensor, eot: Tensor) -> Tensor:
        """Features [R, D], not normalised, of sentences [R, L, W] ending at `eot` [R]; any L up to context_length.

        Tokens after a sentence's end have no effect: the tower masks them or replaces them by its own padding.
        """
        ...


@runtime_checkable
class PrefixSharing(Protocol):
    """A causal text tower that can run the shared beginning of sentences once."""

    def encode_shared(self, embeddings: Tensor, eot: Tensor, prefix_length: int) -> Tensor:
        """As `encode`, for sentences of [R, L, W] which begin with the same `prefix_length` tokens and go on."""
        ...


@dataclass
class PromptTokens:
    """One sentence per rank, as token embeddings.

    Attributes:
        embeddings: [R, L, W], without positions; what follows a sentence's end is padding.
        eot: [R] (long), the position of each sentence's last token.
        prefix_length: how many tokens at the front are the same in every sentence (1 + M with a shared context in front
            of the rank, 0 when nothing is known to be shared).
    """

    embeddings: Tensor
    eot: Tensor
    prefix_length: int = 0


def encode_prompts(tower: TextTower, tokens: PromptTokens) -> Tensor:
    """Rank features [R, D], not normalised, of one sentence per rank.

    Sentences are cut behind the longest one's end: a causal tower cannot see what follows, a bidirectional one masks
    it, and one that reads padding like words puts it back, so nothing changes but the time it takes. A causal tower
    runs the shared prefix once, but for few tokens on a GPU. Very many ranks are run in chunks, whose activations are
    computed again in the backward pass.

    Raises:
        ValueError: if a sentence is longer than the tower's context.
    """
    shortest, longest = torch.stack(tokens.eot.aminmax()).tolist()  # one synchronization with the device, not two
    if longest >= tower.context_length:
        raise ValueError(f"a prompt has {longest + 1} tokens, the text tower takes {tower.context_length}")
    embeddings = tokens.embeddings[:, : longest + 1]
    if isinstance(tower, PrefixSharing) and not runs_faster_whole(embeddings):
        # The last token is never shared, even if all sentences are equal.
        return tower.encode_shared(embeddings, tokens.eot, min(tokens.prefix_length, shortest))
    length = embeddings.shape[1] if tower.trims else tower.context_length
    kind = type(tower).__name__
    if not tower.trims:
        log_once(f"{kind} reads padding like words: each rank's sentence is run with all its {length} tokens")
    elif tokens.prefix_length > 0 and not isinstance(tower, PrefixSharing):
        log_once(f"{kind} reads sentences in both directions: each rank's is run as a whole")
    return run_whole(tower.encode, embeddings, tokens.eot, length=length)


def runs_faster_whole(embeddings: Tensor) -> bool:
    """Whether sentences [R, L, W] have so few tokens that a GPU runs them as they are faster than it shares a prefix.

    The shared prefix is a thousand small kernels, which an H200 took 25 to 41 ms to launch, forward and backward, for 5
    ranks of ViT-B/16 as for 1,024. R sentences of 77 tokens took 17 to 23 ms up to 8 ranks in float32 and up to 101
    under autocast to half precision, and at the next number that was measured more than that: 45 ms for 101 in float32,
    48 for 512 (docs/benchmarks.md). So whole sentences are run up to the tokens of which that is known. How they do in
    between has not been measured.
    """
    if not embeddings.is_cuda:
        return False
    half = embeddings.dtype != torch.float32
    if torch.is_autocast_enabled("cuda"):
        half = torch.get_autocast_dtype("cuda") != torch.float32
    return embeddings.shape[0] * embeddings.shape[1] <= (_FEW_TOKENS_IN_HALF if half else _FEW_TOKENS)


def log_once(message: str) -> None:
    """Logs a message the first time it occurs in this process."""
    if message not in _logged:
        _logged.add(message)
        _LOGGER.info(message)


def embed_sentences(tower: TextTower, sentences: list[str]) -> PromptTokens:
    """Plain sentences as `PromptTokens` of length L = the longest one's, on the tower's device.

    Raises:
        ValueError: naming a sentence that is longer than the tower's context.
    """
    rows = [tower.prefix_ids + tower.tokenize(sentence) + tower.suffix_ids for sentence in sentences]
    longest = max(range(len(rows)), key=lambda i: len(rows[i]))
    length = len(rows[longest])
    if length > tower.context_length:
        raise ValueError(f"{length} tokens, but the text tower takes {tower.context_length}: {sentences[longest]!r}")
    device = next(cast(nn.Module, tower).parameters()).device
    ids = torch.tensor([row + [tower.pad_id] * (length - len(row)) for row in rows], device=device)
    eot = torch.tensor([len(row) - 1 for row in rows], device=device)
    return PromptTokens(tower.embed(ids), eot)
