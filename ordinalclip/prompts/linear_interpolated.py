"""A few trained directions interpolated over all ranks, without text: the control of rank prompts."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from ordinalclip.config.kinds import Between
from ordinalclip.prompts.interpolation import interpolation_weights
from ordinalclip.prompts.sentence import RANDOM_STD
from ordinalclip.text.encoding import TextTower


class LinearInterpolatedPrompt(nn.Module):
    """Rank features = weights [R, K] @ base features [K, D]; base features from N(0, 0.02²), no text tower.

    `RankPrompt` interpolates the input of the text tower, this its output. A score that both reach is due to
    interpolation and not to language.

    Args:
        num_base_ranks: K.
        interpolation: see `interpolation_weights`.
        text: not used; every prompt is built with the same runtime arguments.
        embed_dim: D.
        rank_names: names of the R ranks; only their number counts.
    """

    weights: Tensor

    def __init__(
        self,
        *,
        num_base_ranks: Annotated[int, Between(1, "num_ranks")] = 3,
        interpolation: Literal["linear", "inv_prop", "normal", "piecewise"] = "linear",
        text: TextTower | None = None,
        embed_dim: int,
        rank_names: Sequence[str],
    ) -> None:
        super().__init__()
        weights_RK = interpolation_weights(interpolation, len(rank_names), num_base_ranks)
        self.register_buffer("weights", weights_RK, persistent=False)
        self.base_features = nn.Parameter(torch.randn(num_base_ranks, embed_dim) * RANDOM_STD)

    def forward(self) -> Tensor:
        """The rank features [R, D], not normalised."""
        return self.weights @ self.base_features

    def parts(self) -> dict[str, list[str]]:
        """Names of this module's parameters by the part they belong to."""
        return {"head": ["base_features"]}
