"""A backbone: an image tower and a text tower, and what brings their features into one space."""

import copy
from collections.abc import Mapping
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from ordinalclip.preprocessing import Preprocessing
from ordinalclip.text import TextTower


@runtime_checkable
class Resettable(Protocol):
    """A module that can draw new initial weights, from torch's global generator."""

    def reset_parameters(self) -> None:
        """Draws new weights."""
        ...


class Backbone(nn.Module):
    """Towers of images and text that meet in a space of width D.

    Args:
        image: [B, 3, H, W] → [B, F], not normalised.
        text: the text tower, an `nn.Module` that ends in width D.
        projection: [B, F] → [B, D], not normalised; `nn.Identity()` where the towers share a space by themselves.
        logit_scale: initial value, in log space.
        preprocessing: how images enter the image tower.
        feature_dim: F.
        embed_dim: D.
        tower_key: names what the image tower makes of an image; see `ordinalclip.backbones.key`. `load_backbone` sets
            it.

    Raises:
        ValueError: if features cannot reach the text's space.
    """

    image: nn.Module
    text: TextTower
    projection: nn.Module
    logit_scale: nn.Parameter

    def __init__(
        self,
        *,
        image: nn.Module,
        text: TextTower,
        projection: nn.Module,
        logit_scale: float,
        preprocessing: Preprocessing,
        feature_dim: int,
        embed_dim: int,
        tower_key: str = "",
    ) -> None:
        super().__init__()
        if text.embed_dim != embed_dim:
            raise ValueError(f"the text tower ends in width {text.embed_dim}, not {embed_dim}")
        if isinstance(projection, nn.Identity) and feature_dim != embed_dim:
            raise ValueError(f"image features of width {feature_dim} need a projection to width {embed_dim}")
        self.image = image
        self.text = text
        self.projection = projection
        self.logit_scale = nn.Parameter(torch.tensor(float(logit_scale)))
        self.preprocessing = preprocessing
        self.feature_dim = feature_dim
        self.embed_dim = embed_dim
        self.tower_key = tower_key

    @property
    def text_module(self) -> nn.Module:
        """The text tower as the `nn.Module` that it is."""
        return cast(nn.Module, self.text)

    def fresh(self, trainable: Mapping[str, float | None]) -> "Backbone":
        """A backbone for one run: frozen towers are shared with this one, what is trained is the run's own.

        The projection's weights are drawn anew from torch's global generator.

        Args:
            trainable: learning rate of each part; None or absent is frozen.
        """
        projection = copy.deepcopy(self.projection).requires_grad_(True)
        if isinstance(projection, Resettable):
            projection.reset_parameters()
        return Backbone(
            image=self.image if trainable.get("image") is None else copy.deepcopy(self.image).requires_grad_(True),
            text=self.text if trainable.get("text") is None else _trainable_copy(self.text),
            projection=projection,
            logit_scale=float(self.logit_scale),
            preprocessing=self.preprocessing,
            feature_dim=self.feature_dim,
            embed_dim=self.embed_dim,
            tower_key=self.tower_key,
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] → features [B, D] in the shared space, not normalised."""
        return self.projection(self.image(images))


def _trainable_copy(text: TextTower) -> TextTower:
    tower = copy.deepcopy(text)
    cast(nn.Module, tower).requires_grad_(True)
    return tower
