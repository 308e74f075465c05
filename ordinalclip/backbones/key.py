"""The name of what an image tower makes of an image: equal keys, equal features. Imports no torch."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ordinalclip.backbones.weights import WeightFile, names_a_path

# Settings and weights that the image tower and its preprocessing do not depend on. Whatever is not listed counts.
_NOT_THE_IMAGE_TOWERS = (
    *("name", "weights", "projection", "adapter_width", "adapter_share", "temperature"),
    *("text_model", "text_tag", "text_tower", "tokenizer"),
)
_NOT_THE_IMAGE_WEIGHTS = ("text", "projection", "tokenizer")

# Libraries that decode, resize and compute.
_LIBRARIES = ("torch", "timm", "open_clip_torch", "pillow")
# Of what this project computes itself; 2: QuickGELU by SiLU. One more wherever a feature changes by a bit.
_ARITHMETIC = 2


def tower_key(backbone_cfg: Mapping[str, Any], weights: Mapping[str, WeightFile]) -> str:
    """A hash of the image tower's settings, weights and libraries.

    Args:
        backbone_cfg: the backbone's yaml as a mapping.
        weights: from `find_weights`.
    """
    settings = {key: value for key, value in backbone_cfg.items() if key not in _NOT_THE_IMAGE_TOWERS}
    # A tag says how images are prepared; where a file lies says nothing.
    files = {
        part: [file.sha256, "" if names_a_path(file.source) else file.source]
        for part, file in weights.items()
        if part not in _NOT_THE_IMAGE_WEIGHTS
    }
    libraries = [*_LIBRARIES, *(["torchvision"] if backbone_cfg.get("image_library") == "torchvision" else [])]
    versions = {"ordinalclip": _ARITHMETIC} | {name: _version(name) for name in libraries}
    what = {"settings": settings, "weights": files, "libraries": versions}
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
