"""torchvision's classification networks as image towers: VGG-16, ResNet-50, AlexNet and all that end in a Linear.

`GridPool` replaces `adaptive_avg_pool2d`, whose gradient on GPUs adds in no fixed order and is refused under
`trainer.deterministic=true`; with it VGG-16, the tower of the paper's MORPH rows, trains to the same bits each time.
"""

from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ordinalclip.backbones.towers.state_dicts import fit_state, read_plain
from ordinalclip.backbones.weights.find import WeightFile
from ordinalclip.errors import ConfigError
from ordinalclip.images.preprocessing import Preprocessing


class GridPool(nn.Module):
    """`nn.AdaptiveAvgPool2d` by `pool_to_grid`.

    Args:
        grid: rows and columns of what comes out.
    """

    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Maps [B, C, H, W] → [B, C, *grid]."""
        return pool_to_grid(map_BCHW, self.grid)


def pool_to_grid(map_BCHW: Tensor, grid: tuple[int, int]) -> Tensor:
    """Maps [B, C, H, W] averaged over the cells of a grid [B, C, *grid]; cells overlap where sides do not divide.

    A map that has the grid's size already is returned as it is. torch's own kernel runs wherever it may, so that
    numbers stay what they were.
    """
    if tuple(map_BCHW.shape[-2:]) == grid:
        return map_BCHW
    refused = map_BCHW.is_cuda and map_BCHW.requires_grad and torch.are_deterministic_algorithms_enabled()
    if grid == (1, 1) or not refused:  # a single cell is a plain mean to torch
        return F.adaptive_avg_pool2d(map_BCHW, grid)
    return pool_by_products(map_BCHW, grid)


def pool_by_products(map_BCHW: Tensor, grid: tuple[int, int]) -> Tensor:
    """As `pool_to_grid`, as products with a matrix of shares for the rows and one for the columns."""
    rows, columns = (_shares(side, cells).to(map_BCHW) for side, cells in zip(map_BCHW.shape[-2:], grid, strict=True))
    return rows @ map_BCHW @ columns.T


def fix_pooling(net: nn.Module) -> nn.Module:
    """Puts `GridPool` in the place of a network's adaptive average pooling to more than one cell; returns it."""
    for name, module in list(net.named_modules()):
        grid = _grid_of(module) if isinstance(module, nn.AdaptiveAvgPool2d) else None
        if grid is not None and grid != (1, 1):
            net.set_submodule(name, GridPool(grid))
    return net


def _grid_of(module: nn.AdaptiveAvgPool2d) -> tuple[int, int] | None:
    """Its rows and columns; None where one of them is whatever comes in."""
    size = module.output_size
    rows, columns = (size, size) if isinstance(size, int) or size is None else size
    return None if rows is None or columns is None else (rows, columns)


def _shares(side: int, cells: int) -> Tensor:
    """What each place counts in each cell [cells, side]: cell i goes from ⌊i·side/cells⌋ to ⌈(i+1)·side/cells⌉."""
    shares = torch.zeros(cells, side, dtype=torch.float64)
    for cell in range(cells):
        first, end = cell * side // cells, -(-(cell + 1) * side // cells)
        shares[cell, first:end] = 1 / (end - first)
    return shares


class TorchvisionNetwork:
    """Implements `mixed.ImageNetwork`.

    Args:
        model: torchvision's name, such as `vgg16`.
        tag: whose weights they are, such as `IMAGENET1K_V1`: decides how images are prepared; None is the first of the
            network's published ones.
        size: pixels of the image's side; None is that of the weights.
        resize: "crop" as torchvision's own, or "squash"; None is "crop".
    """

    published = False  # torchvision's own files are plain state dicts

    def __init__(
        self, *, model: str, tag: str | None, size: int | None, resize: Literal["squash", "crop"] | None
    ) -> None:
        from torchvision.models import get_model_weights

        published = get_model_weights(model)
        self.model = model
        way: Any = (next(iter(published)) if tag is None else published[tag]).transforms()
        self.preprocessing = Preprocessing(
            size=way.crop_size[0] if size is None else size,
            mean=tuple(way.mean),
            std=tuple(way.std),
            interpolation=way.interpolation.value,
            resize="crop" if resize is None else resize,
            margin=way.resize_size[0] / way.crop_size[0],
        )

    def create(self) -> nn.Module:
        """The whole network with random weights."""
        from torchvision.models import get_model

        # Only transformers have position embeddings, and with them a size.
        size = {"image_size": self.preprocessing.size} if self.model.startswith("vit_") else {}
        return fix_pooling(cast(nn.Module, get_model(self.model, weights=None, **size)))

    def last_layer(self, net: nn.Module) -> str | None:
        """Name of the last Linear.

        Raises:
            ConfigError: if the network ends in something else.
        """
        layers = [(name, module) for name, module in net.named_modules() if not list(module.children())]
        name, module = [(n, m) for n, m in layers if list(m.parameters(recurse=False))][-1]
        if not isinstance(module, nn.Linear):
            problem = f"ends in a {type(module).__name__}, which cannot be replaced by a Linear"
            raise ConfigError("backbone.image_model", self.model, problem)
        return name

    def tower(self, file: WeightFile) -> nn.Module:
        """The network without its last layer, with weights from a file."""
        net = self.create()
        if file.path is not None:
            key = "backbone.weights.image"
            state, last = read_plain(file.path, key), self.last_layer(net)
            fitted = fit_state(state, net.state_dict(), last=last, path=file.path, key=key)
            net.load_state_dict(fitted.body, strict=False)
        return self.without_last_layer(net)

    def without_last_layer(self, net: nn.Module) -> nn.Module:
        """The network with nothing in place of its last layer."""
        net.set_submodule(cast(str, self.last_layer(net)), nn.Identity())
        return net
