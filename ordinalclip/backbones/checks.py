"""Checks of a backbone's settings, before data are read and when it is built. Imports no torch."""

from collections.abc import Mapping
from typing import Any

from ordinalclip.backbones.weights.tables import open_clip_models, patch_size, text_config
from ordinalclip.errors import ConfigError

# Channels and side of the map [C, S, S] that each layer of EfficientNet-Lite0 gives at 224 pixels.
MAPS = {"last": (1280, 7), "stage5": (112, 14)}
_OURS = "ordinalclip.backbones."
_CLIP_LENGTH, _MINILM_LENGTH = 77, 512


def check_backbone(backbone: Mapping[str, Any]) -> None:
    """Checks that settings of the group `backbone` fit together; their types are checked before.

    A backbone outside this package is checked by its own function.

    Raises:
        ConfigError: two settings that do not fit together, or a size that the tower cannot have.
    """
    match backbone["_target_"].removeprefix(_OURS):
        case "mini.build_mini":
            layer, projection = backbone.get("layer", "last"), backbone.get("projection", "adapter")
            check_grid(backbone.get("grid", 1), layer, projection)
        case "tiny.build_tiny":
            check_multiples_of_8(width=backbone.get("width", 64), size=backbone.get("size", 32))
        case "openclip.build_openclip":
            check_size(backbone.get("size"), backbone["model"])


def max_prompt_tokens(backbone: Mapping[str, Any]) -> int | None:
    """Tokens that a sentence may have, special tokens not counted; None if unknown."""
    target = backbone["_target_"].removeprefix(_OURS)
    if target == "mini.build_mini" and backbone.get("text_tower", "minilm") == "minilm":
        return _MINILM_LENGTH - 2
    if target in ("mini.build_mini", "tiny.build_tiny"):
        return _CLIP_LENGTH - 2
    model = {"openclip.build_openclip": "model", "mixed.build_mixed": "text_model"}.get(target)
    if model is None or backbone[model] not in open_clip_models():
        return None
    config = text_config(backbone[model])
    # Tokenizers other than CLIP's may mark no beginning.
    return int(config.get("context_length", _CLIP_LENGTH)) - (1 if "hf_tokenizer_name" in config else 2)


def check_grid(grid: int, layer: str, projection: str) -> None:
    """Raises a ConfigError if a layer's map has too few cells, or features without a projection are not D wide."""
    channels, side = MAPS[layer]
    if grid > side:
        problem = f"the map of backbone.layer={layer} has {side} × {side} cells"
        raise ConfigError("backbone.grid", grid, problem, allowed=f"1 to {side}")
    if projection == "none" and channels * grid**2 != MAPS["last"][0]:
        problem = "needs backbone.grid=1 and backbone.layer=last"
        raise ConfigError("backbone.projection", projection, problem, allowed="adapter, perceptron, linear")


def check_multiples_of_8(**numbers: int) -> None:
    """Raises a ConfigError unless all numbers are multiples of 8, the width of heads and patches."""
    for key, value in numbers.items():
        if value % 8 != 0:
            raise ConfigError(f"backbone.{key}", value, "is not a multiple of 8")


def check_size(size: int | None, model: str) -> None:
    """Raises a ConfigError if an image is smaller than one patch."""
    patch = patch_size(model) if size is not None and model in open_clip_models() else None
    if size is not None and patch is not None and size < patch:
        problem = f"one patch of {model} has {patch} × {patch} pixels"
        raise ConfigError("backbone.size", size, problem, allowed=f"{patch} or more")
