"""Image networks that were trained without text, by library and name."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ordinalclip.backbones.weights import WeightFile
from ordinalclip.errors import ConfigError
from ordinalclip.preprocessing import Preprocessing


class ImageNetwork(Protocol):
    """What a library knows about one of its networks.

    Attributes:
        preprocessing: how images enter it.
        published: whether the library itself reads its weights; else they are a plain state dict.
    """

    preprocessing: Preprocessing
    published: bool

    def create(self) -> nn.Module:
        """The whole network with random weights."""
        ...

    def last_layer(self, net: nn.Module) -> str | None:
        """Name of the last layer among the modules of a whole network; None where none is replaced."""
        ...

    def tower(self, file: WeightFile) -> nn.Module:
        """The network without its last layer, [B, 3, H, W] → [B, F], with weights from a file."""
        ...

    def without_last_layer(self, net: nn.Module) -> nn.Module:
        """What `tower` makes of a whole network, which it may change."""
        ...


def on_meta(create: Callable[[], nn.Module]) -> nn.Module:
    """A network whose tensors have shapes and no values: made in no time, whatever its size."""
    try:
        with torch.device("meta"):
            return create().eval()
    except (NotImplementedError, RuntimeError):  # one that computes its own widths with tensors
        return create().eval()


def feature_width(tower: nn.Module, preprocessing: Preprocessing, model: str) -> int:
    """F of a tower, from `on_meta` or not.

    Raises:
        ConfigError: if it does not take images of that size, or gives something else than one vector an image.
    """
    device = next(tower.parameters()).device
    size = preprocessing.size
    try:
        with torch.inference_mode():
            features: Any = tower(torch.zeros(1, 3, size, size, device=device))
    except (RuntimeError, AssertionError, ValueError) as error:
        said = " ".join(str(error).split()[:20])
        raise ConfigError("backbone.size", size, f"{model} does not take images of this size: {said}") from error
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise ConfigError("backbone.image_model", model, "does not give one vector for an image")
    return features.shape[1]
