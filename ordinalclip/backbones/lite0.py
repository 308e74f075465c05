"""EfficientNet-Lite0 as an image tower: what it sees just before its ImageNet classifier.

Tan & Le, "EfficientNet", ICML 2019; the Lite variant is Google's for mobile processors. Weights: Apache-2.0.
"""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ordinalclip.backbones.pooling import pool_to_grid
from ordinalclip.backbones.settings import MAPS

Layer = Literal["last", "stage5"]


class Lite0Image(nn.Module):
    """Images [B, 3, 224, 224] → features [B, F], F = C · grid².

    Args:
        grid: the layer's map is averaged down to grid × grid cells, which are laid end to end (row by row, each cell's
            channels together). 1 is the usual global average, which forgets where things are.
        weights_file: the package's `.pth`; None is random weights.
        layer: "last", what the classifier sees: C = 1280 on 7 × 7. "stage5", the fifth of seven stages, which knows
            less of objects and more of where edges and parts are: C = 112 on 14 × 14.
    """

    def __init__(self, *, grid: int, weights_file: Path | None, layer: Layer = "last") -> None:
        super().__init__()
        # Seconds to import, and only needed here.
        from timm.models.efficientnet import tf_efficientnet_lite0

        self.grid = grid
        self.feature_dim = MAPS[layer][0] * grid**2
        self.net = tf_efficientnet_lite0()
        if weights_file is not None:
            self.net.load_state_dict(renamed(load_tensors(weights_file), self.net))
        self.net.reset_classifier(0)
        if layer == "stage5":
            self.net.blocks = self.net.blocks[:5]
            self.net.conv_head = self.net.bn2 = nn.Identity()
        self.net.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] → features [B, C · grid²], not normalised."""
        # This layout is nearly twice as fast on a CPU, and the faster one on GPUs with reduced precision.
        map_BCHW = self.net.forward_features(images.contiguous(memory_format=torch.channels_last))
        return pool_to_grid(map_BCHW, (self.grid, self.grid)).permute(0, 2, 3, 1).flatten(1)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pth` file in their order; nothing in it is executed."""
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def renamed(state: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """The tensors under timm's names: both list the same layers in the same order.

    Raises:
        ValueError: if number or shapes differ, so that the file is of another network.
    """
    names = net.state_dict()
    shapes = [tuple(t.shape) for t in names.values()]
    if [tuple(t.shape) for t in state.values()] != shapes:
        raise ValueError("the file's tensors are not those of EfficientNet-Lite0")
    return dict(zip(names, state.values(), strict=True))
