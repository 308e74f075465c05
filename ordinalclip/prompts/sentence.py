"""One sentence per rank, composed of context tokens, rank tokens and the text tower's special tokens.

Shapes: R ranks, M context tokens, L tokens in the longest sentence, W token width, N rank tokens of all ranks together.

`tokenize_continued` tokenizes words as in the middle of a sentence. For CLIP a word has the same tokens everywhere.
RoBERTa's "42" at the beginning is another token than behind a space, and a sentence piece begins with its space, so
that "." alone is two pieces and behind a word one.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ordinalclip.errors import ConfigError
from ordinalclip.prompts.checks import DEFAULT_NUM_CONTEXT_TOKENS, check_context, check_tokens
from ordinalclip.text.encoding import PromptTokens, TextTower

# Any word will do that is one token and is not joined with what follows.
_BEFORE = "a"

RankPosition = Literal["tail", "front", "middle"]
RANDOM_STD = 0.02  # of randomly initialised token embeddings [CoOp, OrdinalCLIP]


def tokenize_continued(text: TextTower, words: str) -> list[int]:
    """Token ids of words that follow others, without special tokens.

    A mark such as "." follows at once, anything else behind a space. If the tokens cannot be split off those of the
    word before, the words are read by themselves.

    Args:
        text: tower that knows the tokens.
        words: the text; may be empty.
    """
    if not words:
        return []
    before = text.tokenize(_BEFORE)
    gap = " " if words[0].isalnum() else ""
    together = text.tokenize(f"{_BEFORE}{gap}{words}")
    return together[len(before) :] if together[: len(before)] == before else text.tokenize(words)


def tokenize_names(text: TextTower, names: Sequence[str]) -> list[list[int]]:
    """Token ids of each name as it follows other words; a ConfigError where a name has none."""
    ids = [tokenize_continued(text, f" {name}") for name in names]
    if not all(ids):
        raise ConfigError("rank names", list(names), f"the name {names[ids.index([])]!r} has no tokens")
    return ids


def tokens_by_rank(tokens_per_rank: int | Sequence[int], num_ranks: int) -> list[int]:
    """One number for each of the R ranks, from one for all of them or one each.

    Raises:
        ConfigError: another number of numbers.
    """
    if isinstance(tokens_per_rank, int):
        return [tokens_per_rank] * num_ranks
    check_tokens(tokens_per_rank, num_ranks)
    return list(tokens_per_rank)


class Layout(NamedTuple):
    """The row of a table of token embeddings at each position of each sentence.

    The table's rows: padding, the special tokens in the order of the sentence, the context, the ranks' own tokens.
    """

    rows: Tensor  # [R, L], rows of the table; padded behind EOT
    eot: Tensor  # [R], position of each sentence's last token
    prefix_length: int  # leading positions at which all sentences agree


def pad_rows(rows: Sequence[Sequence[int]], padding: int) -> Layout:
    """Pads rows to one length and finds the length of their common prefix."""
    eot = torch.tensor([len(row) - 1 for row in rows])
    longest = int(eot.max()) + 1
    index_RL = torch.tensor([[*row, *[padding] * (longest - len(row))] for row in rows])
    agree_L = (index_RL == index_RL[0]).all(dim=0)
    # EOT is never part of the prefix, even if all sentences are equal.
    prefix_length = min(int(agree_L.long().cumprod(0).sum()), int(eot.min()))
    return Layout(index_RL, eot, prefix_length)


def sentence_layout(
    num_rank_tokens: Sequence[int],
    *,
    num_context_tokens: int,
    rank_specific_context: bool,
    rank_position: RankPosition,
    num_prefix: int,
    num_ending: int,
) -> Layout:
    """Order the tokens of every rank: prefix, context and rank tokens by `rank_position`, ending.

    Args:
        num_rank_tokens: number of own tokens of each rank.
        num_context_tokens: M.
        rank_specific_context: whether the table holds M context rows for every rank, or M for all together.
        rank_position: `tail`: context, rank; `front`: rank, context; `middle`: the rank after M//2 context tokens.
        num_prefix: special tokens before the words.
        num_ending: special tokens behind the words, EOT the last of them.
    """
    prefix = list(range(1, 1 + num_prefix))
    ending = list(range(1 + num_prefix, 1 + num_prefix + num_ending))
    first_context = 1 + num_prefix + num_ending
    num_contexts = len(num_rank_tokens) if rank_specific_context else 1
    first_rank_token = first_context + num_contexts * num_context_tokens
    before = {"tail": num_context_tokens, "front": 0, "middle": num_context_tokens // 2}[rank_position]

    rows = []
    starts = accumulate(num_rank_tokens, initial=first_rank_token)
    for rank, (start, count) in enumerate(zip(starts, num_rank_tokens, strict=False)):
        own = rank * num_context_tokens if rank_specific_context else 0
        context = list(range(first_context + own, first_context + own + num_context_tokens))
        rows.append([*prefix, *context[:before], *range(start, start + count), *context[before:], *ending])
    return pad_rows(rows, padding=0)


class Sentence(nn.Module):
    """Composes the sentences around given rank tokens; owns the learned context.

    The special tokens' embeddings are read from the tower once and stay as they are.

    Args:
        text: tower whose tokens and embeddings are used; not kept.
        num_rank_tokens: number of own tokens of each rank.
        context: phrase the context starts from, or None: N(0, 0.02²).
        num_context_tokens: M of a random context (None: 10); a phrase brings its own M.
        rank_specific_context: learn a context for every rank [R, M, W] instead of a shared one [M, W].
        rank_position: position of the rank tokens.
        ending: text between the last word and EOT, may be empty.

    Raises:
        ConfigError: a blank phrase, a phrase together with `num_context_tokens`, or a sentence too long for the tower.
    """

    def __init__(
        self,
        *,
        text: TextTower,
        num_rank_tokens: Sequence[int],
        context: str | None,
        num_context_tokens: int | None,
        rank_specific_context: bool,
        rank_position: RankPosition,
        ending: str,
    ) -> None:
        super().__init__()
        context_MW = _initial_context(text, context, num_context_tokens)
        num_ranks, num_context = len(num_rank_tokens), len(context_MW)
        if rank_specific_context:
            # A random context is drawn for every rank; a phrase is the start of every rank's context.
            context_MW = (
                torch.randn(num_ranks, num_context, text.width) * RANDOM_STD
                if context is None
                else context_MW.expand(num_ranks, -1, -1).clone()
            )
        self.context = nn.Parameter(context_MW)
        special_ids = [text.pad_id, *text.prefix_ids, *tokenize_continued(text, ending), *text.suffix_ids]
        layout = sentence_layout(
            num_rank_tokens,
            num_context_tokens=num_context,
            rank_specific_context=rank_specific_context,
            rank_position=rank_position,
            num_prefix=len(text.prefix_ids),
            num_ending=len(special_ids) - 1 - len(text.prefix_ids),
        )
        key, value = ("prompt.num_context_tokens", num_context) if context is None else ("prompt.context", context)
        if max(num_rank_tokens) > num_context:
            key, value = "prompt.tokens_per_rank", max(num_rank_tokens)
        check_length(layout.rows.shape[1], text, key, value)
        self.special: Tensor
        self.index: Tensor
        self.eot: Tensor
        self.register_buffer("special", embed_ids(text, special_ids), persistent=False)
        self.register_buffer("index", layout.rows, persistent=False)
        self.register_buffer("eot", layout.eot, persistent=False)
        self.prefix_length = layout.prefix_length

    def forward(self, rank_tokens_NW: Tensor) -> PromptTokens:
        """Sentences around the given rank tokens [N, W], those of rank 0 first."""
        table = torch.cat([self.special, self.context.flatten(end_dim=-2), rank_tokens_NW])
        # F.embedding and not table[index]: on several threads the latter adds gradients in no fixed order.
        return PromptTokens(F.embedding(self.index, table), self.eot, self.prefix_length)


def embed_ids(text: TextTower, ids: Sequence[int]) -> Tensor:
    """A detached copy on the CPU of the tower's token embeddings [len(ids), W].

    The tower may be on another device, where an earlier run of the sweep has moved it.
    """
    device = next(cast(nn.Module, text).parameters()).device
    return text.embed(torch.tensor(ids, dtype=torch.long, device=device)).detach().to("cpu", copy=True)


def check_length(length: int, text: TextTower, key: str, value: object) -> None:
    """Raises a ConfigError if the longest sentence does not fit into the text tower."""
    if length > text.context_length:
        problem = f"the longest sentence would have {length} tokens; this text tower takes {text.context_length}"
        raise ConfigError(key, value, problem, remedy="shorten the context or the rank names, or use fewer tokens")


def _initial_context(text: TextTower, context: str | None, num_context_tokens: int | None) -> Tensor:
    check_context(context, num_context_tokens)
    if context is None:
        num_context = DEFAULT_NUM_CONTEXT_TOKENS if num_context_tokens is None else num_context_tokens
        return torch.randn(num_context, text.width) * RANDOM_STD
    ids = text.tokenize(context)
    if not ids:  # characters that this tokenizer drops
        raise ConfigError("prompt.context", repr(context), "has no words", allowed="a phrase, or null for a random one")
    return embed_ids(text, ids)
