"""An image tower that is built when it is first needed: with cached features it never is."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


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
