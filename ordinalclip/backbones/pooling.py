"""Average pooling to a fixed grid that can be trained on a GPU to the same bits each time.

torch's own gradient of `adaptive_avg_pool2d` adds in no fixed order on GPUs, and is refused under
`trainer.deterministic=true`: VGG-16, the tower of the paper's MORPH rows, could not be trained there.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
