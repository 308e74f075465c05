"""Context prompts: a learned context before rank tokens that are free of each other [CoOp]."""

from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Literal

import torch
from torch import nn

from ordinalclip.config.kinds import Between
from ordinalclip.prompts.checks import check_free_tokens
from ordinalclip.prompts.sentence import RANDOM_STD, Sentence, embed_ids, tokenize_names, tokens_by_rank
from ordinalclip.text.encoding import PromptTokens, TextTower


class ContextPrompt(nn.Module):
    """Learned context and, for every rank, learned tokens of its own, without any order among them.

    The ranks' tokens start from the ranks' names, each with as many tokens as its name has.

    Args:
        rank_init: start from the names, or from N(0, 0.02²).
        tokens_per_rank: tokens of every rank, or of each of the R ranks, where `rank_init` is random; None: 1. Names
            bring their own number.
        rank_position: position of the rank tokens in the sentence.
        context: phrase the context starts from; None: random.
        num_context_tokens: M of a random context; None: 10.
        rank_specific_context: one context for each rank instead of one for all.
        ending: text before EOT.
        text: text tower whose tokens are used.
        embed_dim: width of the shared space; not needed here.
        rank_names: names of the R ranks.

    Raises:
        ConfigError: settings that do not fit together, sentences too long for the tower.
    """

    def __init__(
        self,
        *,
        rank_init: Literal["names", "random"] = "names",
        tokens_per_rank: Annotated[int, Between(1, None)] | list[Annotated[int, Between(1, None)]] | None = None,
        rank_position: Literal["tail", "front", "middle"] = "tail",
        context: str | None = None,
        num_context_tokens: Annotated[int, Between(1, None)] | None = None,
        rank_specific_context: bool = False,
        ending: str = ".",
        text: TextTower,
        embed_dim: int,
        rank_names: Sequence[str],
    ) -> None:
        super().__init__()
        check_free_tokens(tokens_per_rank, rank_init)
        if rank_init == "random":
            counts = tokens_by_rank(1 if tokens_per_rank is None else tokens_per_rank, len(rank_names))
            rank_tokens_NW = torch.randn(sum(counts), text.width) * RANDOM_STD
        else:
            ids = tokenize_names(text, rank_names)
            counts = [len(row) for row in ids]
            rank_tokens_NW = embed_ids(text, list(chain.from_iterable(ids)))
        self.rank_tokens = nn.Parameter(rank_tokens_NW)
        self.sentence = Sentence(
            text=text,
            num_rank_tokens=counts,
            context=context,
            num_context_tokens=num_context_tokens,
            rank_specific_context=rank_specific_context,
            rank_position=rank_position,
            ending=ending,
        )

    def forward(self) -> PromptTokens:
        """The R sentences, as token embeddings."""
        return self.sentence(self.rank_tokens)

    def parts(self) -> dict[str, list[str]]:
        """Names of this module's parameters by the part they belong to."""
        return {"context": ["sentence.context"], "rank": ["rank_tokens"]}
