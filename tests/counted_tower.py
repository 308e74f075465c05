"""The backbone `tiny`, whose image tower writes down who used it: process and images of every pass."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ordinalclip.backbones.backbone import Backbone
from ordinalclip.backbones.tiny import build_tiny
from ordinalclip.backbones.weights.find import WeightFile


def build_counted(*, passes: str, weights: Mapping[str, WeightFile]) -> Backbone:
    """Build it.

    Args:
        passes: file that gets a line `process images` for each pass of the image tower.
        weights: `random`.
    """
    backbone = build_tiny(weights=weights)

    def write_down(_tower: nn.Module, given: tuple[Tensor, ...], _features: Any) -> None:
        with Path(passes).open("a", encoding="ascii") as file:  # a line is appended whole, whoever else writes
            file.write(f"{os.getpid()} {len(given[0])}\n")

    backbone.image.register_forward_hook(write_down)
    return backbone


def read_passes(file: Path) -> list[tuple[int, int]]:
    """Process and images of every pass."""
    lines = file.read_text(encoding="ascii").splitlines()
    return [(int(process), int(images)) for process, images in map(str.split, lines)]
