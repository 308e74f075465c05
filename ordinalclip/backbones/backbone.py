"""A backbone: an image tower, a text tower, and the projection between their features.

`Backbone` holds the parts. The classes before it are the trainable projections from tower features [B, F] to the shared
space [B, D], the part "projection". `LazyTower` builds an image tower at its first call: with cached features it is
never built.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Literal, Protocol, cast, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ordinalclip.images.preprocessing import Preprocessing
from ordinalclip.text.encoding import TextTower


class LinearProjection(nn.Module):
    """A linear map from F to D without bias, as CLIP's own towers end in one (Radford et al., ICML 2021).

    Args:
        feature_dim: F.
        embed_dim: D.
    """

    def __init__(self, *, feature_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim, embed_dim, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new weights N(0, 1/F), from torch's global generator."""
        nn.init.normal_(self.linear.weight, std=self.linear.in_features**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, F] → [B, D]."""
        return self.linear(features)


class LastLayer(nn.Module):
    """The last layer of a network that was trained without text, F to D without bias, as the paper replaces it.

    Args:
        feature_dim: F.
        embed_dim: D.
        initial: weight [D, F] to start from; None draws it.
    """

    def __init__(self, *, feature_dim: int, embed_dim: int, initial: Tensor | None = None) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim, embed_dim, bias=False)
        self.initial = initial  # no buffer: it belongs to the weights' file, not to a checkpoint
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Goes back to the initial weight, or draws N(0, 1/D) from torch's global generator.

        Kaiming's rule (He et al., ICCV 2015) by fan out and without a rectifier's gain, as in all image encoders of the
        paper's code.
        """
        if self.initial is None:
            nn.init.kaiming_normal_(self.linear.weight, mode="fan_out", nonlinearity="linear")
            return
        with torch.no_grad():
            self.linear.weight.copy_(self.initial)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, F] → [B, D]."""
        return self.linear(features)


class ResidualAdapter(nn.Module):
    """v' = v + α · A(v), with A a two-layer perceptron that starts at zero, so that training starts from the tower.

    After "CLIP-Adapter" (Gao et al., IJCV 2024), which mixes α A(v) + (1 - α) v; adding keeps v whatever A has learned.
    Features are brought to the same length before A, since towers differ in scale.

    Args:
        feature_dim: F. Where it is not D, v is a linear map of the features, trained with the rest.
        embed_dim: D.
        width: of the hidden layer.
        share: α.
    """

    def __init__(self, *, feature_dim: int, embed_dim: int, width: int, share: float) -> None:
        super().__init__()
        self.share = share
        same = feature_dim == embed_dim
        self.linear = None if same else LinearProjection(feature_dim=feature_dim, embed_dim=embed_dim)
        self.down = nn.Linear(embed_dim, width)
        self.up = nn.Linear(width, embed_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new first layers from torch's global generator and sets the last one to zero."""
        if self.linear is not None:
            self.linear.reset_parameters()
        self.down.reset_parameters()
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, F] → [B, D]; of length sqrt(D) before the residual is added."""
        values = features if self.linear is None else self.linear(features)
        unit = F.normalize(values, dim=-1) * values.shape[-1] ** 0.5
        return unit + self.share * self.up(F.relu(self.down(unit)))


class Perceptron(nn.Module):
    """v = B · relu(A f + a): a perceptron with one hidden layer, for features too many for a matrix [D, F].

    Features are brought to the length sqrt(F) before A, since towers differ in scale. B has no bias.

    Args:
        feature_dim: F.
        embed_dim: D.
        width: of the hidden layer.
    """

    def __init__(self, *, feature_dim: int, embed_dim: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(feature_dim, width)
        self.up = nn.Linear(width, embed_dim, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new weights from torch's global generator: A by torch's own rule, B from N(0, 1/width)."""
        self.down.reset_parameters()
        nn.init.normal_(self.up.weight, std=self.up.in_features**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, F] → [B, D]."""
        unit = F.normalize(features, dim=-1) * features.shape[-1] ** 0.5
        return self.up(F.relu(self.down(unit)))


def build_projection(
    kind: Literal["none", "adapter", "perceptron", "linear"],
    feature_dim: int,
    embed_dim: int,
    width: int = 0,
    share: float = 0.0,
) -> nn.Module:
    """A projection [B, F] → [B, D] of image features.

    Args:
        kind: `none` is the identity, `adapter` a `ResidualAdapter`, `perceptron` a `Perceptron`, `linear` a
            `LinearProjection`.
        feature_dim: F.
        embed_dim: D.
        width: of the hidden layer of an adapter or a perceptron.
        share: α of an adapter.
    """
    match kind:
        case "none":
            return nn.Identity()
        case "adapter":
            return ResidualAdapter(feature_dim=feature_dim, embed_dim=embed_dim, width=width, share=share)
        case "perceptron":
            return Perceptron(feature_dim=feature_dim, embed_dim=embed_dim, width=width)
        case "linear":
            return LinearProjection(feature_dim=feature_dim, embed_dim=embed_dim)


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
        tower_key: names what the image tower makes of an image; see `ordinalclip.backbones.load`. `load_backbone` sets
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


class LazyTower(nn.Module):
    """Builds a frozen tower at its first forward pass, or when asked to.

    Building draws nothing from torch's global generator, so that it makes no difference to a run when it happens.

    Args:
        build: returns the tower.
    """

    tower: nn.Module | None

    def __init__(self, build: Callable[[], nn.Module]) -> None:
        super().__init__()
        self._build = build
        self.tower = None

    def ready(self) -> nn.Module:
        """The tower, built if it was not, in eval mode and frozen when it is new."""
        if self.tower is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                self.tower = self._build().eval().requires_grad_(False)
        return self.tower

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] → features [B, F]."""
        if self.tower is None:
            self.ready().to(images.device)
        return self.ready()(images)
