"""Rank prompts: a few learned base ranks, interpolated over all ranks [OrdinalCLIP]."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ordinalclip.config.kinds import Between
from ordinalclip.errors import ConfigError
from ordinalclip.prompts.checks import check_base_rank_names
from ordinalclip.prompts.interpolation import base_positions, interpolation_weights
from ordinalclip.prompts.sentence import RANDOM_STD, Sentence, embed_ids, tokenize_names, tokens_by_rank
from ordinalclip.text.encoding import PromptTokens, TextTower


class RankPrompt(nn.Module):
    """Rank tokens = weights [R, K] @ base ranks [K, T, W], so that neighbouring ranks move together.

    Base ranks have T tokens, and so have all ranks. They start from the names of the ranks at their positions; names
    shorter than T are filled with the padding token, whose slots are part of the sentence and trained like the others.
    If ranks have different numbers of tokens, T is the largest and rank r uses the first of its T tokens.

    Args:
        num_base_ranks: K.
        interpolation: see `interpolation_weights`.
        tokens_per_rank: T, or a number of tokens for each of the R ranks; None is as many as the longest base rank's
            name needs, or 1 where `rank_init` is random.
        rank_init: start from names, or from N(0, 0.02²).
        base_rank_names: K names to start from, instead of those of the ranks at the base ranks' positions.
        rank_position: position of the rank tokens in the sentence.
        context: phrase the context starts from; None: random.
        num_context_tokens: M of a random context; None: 10.
        rank_specific_context: one context for each rank instead of one for all.
        ending: text before EOT.
        text: text tower whose tokens are used.
        embed_dim: width of the shared space; not needed here.
        rank_names: names of the R ranks.

    Raises:
        ConfigError: names and numbers that do not fit together, sentences too long for the tower.
    """

    weights: Tensor
    said: Tensor  # which of the R * T interpolated tokens are in a sentence

    def __init__(
        self,
        *,
        num_base_ranks: Annotated[int, Between(1, "num_ranks")] = 3,
        interpolation: Literal["linear", "inv_prop", "normal", "piecewise"] = "linear",
        tokens_per_rank: Annotated[int, Between(1, None)] | list[Annotated[int, Between(1, None)]] | None = None,
        rank_init: Literal["names", "random"] = "names",
        base_rank_names: Sequence[str] | None = None,
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
        num_ranks = len(rank_names)
        check_base_rank_names(base_rank_names, num_base_ranks, rank_init)
        weights_RK = interpolation_weights(interpolation, num_ranks, num_base_ranks)
        self.register_buffer("weights", weights_RK, persistent=False)
        num_tokens = max(tokens_per_rank) if isinstance(tokens_per_rank, list) else tokens_per_rank
        if rank_init == "random":
            base_KTW = torch.randn(num_base_ranks, 1 if num_tokens is None else num_tokens, text.width) * RANDOM_STD
        else:
            names = base_rank_names
            if names is None:
                names = [rank_names[rank] for rank in nearest_ranks(num_ranks, num_base_ranks)]
            base_KTW = embed_padded(text, names, num_tokens)
        self.base_ranks = nn.Parameter(base_KTW)
        longest = base_KTW.shape[1]
        counts = tokens_by_rank(longest if tokens_per_rank is None else tokens_per_rank, num_ranks)
        said = [rank * longest + token for rank, count in enumerate(counts) for token in range(count)]
        self.register_buffer("said", torch.tensor(said), persistent=False)
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
        rank_tokens_RTW = torch.einsum("rk,ktw->rtw", self.weights, self.base_ranks)
        rank_tokens_NW = rank_tokens_RTW.flatten(end_dim=1)
        if len(self.said) < len(rank_tokens_NW):
            rank_tokens_NW = F.embedding(self.said, rank_tokens_NW)
        return self.sentence(rank_tokens_NW)

    def parts(self) -> dict[str, list[str]]:
        """Names of this module's parameters by the part they belong to."""
        return {"context": ["sentence.context"], "rank": ["base_ranks"]}


def nearest_ranks(num_ranks: int, num_base_ranks: int) -> list[int]:
    """The rank nearest to each base rank's position; the upper one of two as near."""
    return [int(position + 0.5) for position in base_positions(num_ranks, num_base_ranks).tolist()]


def embed_padded(text: TextTower, names: Sequence[str], num_tokens: int | None) -> Tensor:
    """Token embeddings [K, T, W] of names, the shorter ones filled up with the padding token.

    Args:
        text: tower that knows the tokens.
        names: K names.
        num_tokens: T; None: as many as the longest name has.

    Raises:
        ConfigError: a name has no tokens, or more than `num_tokens`.
    """
    ids = tokenize_names(text, names)
    longest = max(len(row) for row in ids)
    if num_tokens is not None and num_tokens < longest:
        raise ConfigError(
            "prompt.tokens_per_rank",
            num_tokens,
            f"the longest of the base ranks' names {list(names)} has {longest} tokens",
            allowed=f"{longest} or more, or null",
            remedy="or start from random base ranks with prompt.rank_init=random",
        )
    width = longest if num_tokens is None else num_tokens
    return torch.stack([embed_ids(text, [*row, *[text.pad_id] * (width - len(row))]) for row in ids])
