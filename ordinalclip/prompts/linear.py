"""A trained direction for every rank, without text: the baseline of prompts."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ordinalclip.prompts.sentence import RANDOM_STD
from ordinalclip.text.encoding import TextTower


class LinearPrompt(nn.Module):
    """A learned matrix [R, D] in the place of the rank features, from N(0, 0.02²); the text tower is never run.

    The model brings its rows to unit length like any rank features, so it is a cosine classifier.

    Args:
        text: not used; every prompt is built with the same runtime arguments.
        embed_dim: D.
        rank_names: names of the R ranks; only their number counts.
    """

    def __init__(self, *, text: TextTower | None = None, embed_dim: int, rank_names: Sequence[str]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(len(rank_names), embed_dim) * RANDOM_STD)

    def forward(self) -> Tensor:
        """The rank features [R, D], not normalised."""
        return self.weight

    def parts(self) -> dict[str, list[str]]:
        """Names of this module's parameters by the part they belong to."""
        return {"head": ["weight"]}
