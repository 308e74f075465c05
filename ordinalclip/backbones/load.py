"""Backbones by their configuration, each built once in a process, and the key of their image features.

`tower_key` names what an image tower makes of an image: equal keys mean equal features, so caches are found by it.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_method

from ordinalclip.backbones.backbone import Backbone, LazyTower
from ordinalclip.backbones.weights.find import WeightFile, find_weights, names_a_path

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

_BUILT: dict[str, Backbone] = {}  # as it came from its builder; never handed out itself


def tower_key(backbone_cfg: Mapping[str, Any], weights: Mapping[str, WeightFile]) -> str:
    """A hash of the image tower's settings, weights and libraries.

    Args:
        backbone_cfg: the backbone's yaml as a mapping.
        weights: from `find_weights`.
    """
    settings = {key: value for key, value in backbone_cfg.items() if key not in _NOT_THE_IMAGE_TOWERS}
    # A tag defines how images are prepared; a file's path does not.
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


def load_backbone(
    backbone_cfg: Mapping[str, Any],
    *,
    cache_dir: Path,
    weights: Mapping[str, WeightFile] | None = None,
    trainable: Mapping[str, float | None] | None = None,
    seed: int | None = None,
) -> Backbone:
    """A backbone for one run.

    Frozen towers are built once in a process and shared by its runs; towers that are trained are the run's own copies,
    as are the projection and the logit scale. Random weights are the same every time. Torch's global generator is left
    as it was, but for the projection's initial weights where no seed is given.

    Args:
        backbone_cfg: the backbone's yaml as a mapping.
        cache_dir: the platform's cache.
        weights: from `find_weights`; None looks for them.
        trainable: learning rate of each part, None is frozen; None altogether freezes both towers.
        seed: of the projection's initial weights; None draws from torch's global generator.

    Raises:
        ConfigError: for settings that cannot be used and weights that are not there.
    """
    settings = {key: value for key, value in backbone_cfg.items() if key not in ("_target_", "name", "weights")}
    files = find_weights(backbone_cfg, cache_dir) if weights is None else dict(weights)
    hashes = {part: [file.source, file.sha256] for part, file in files.items()}
    key = json.dumps([backbone_cfg["_target_"], settings, hashes], sort_keys=True, default=str)
    if key not in _BUILT:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            build: Callable[..., Backbone] = get_method(backbone_cfg["_target_"])
            built = build(**settings, weights=files)
        built.eval().requires_grad_(False)
        built.tower_key = tower_key(backbone_cfg, files)
        _BUILT[key] = built
    trained = {} if trainable is None else trainable
    image = _BUILT[key].image
    if trained.get("image") is not None and isinstance(image, LazyTower):
        image.ready()
    if seed is None:
        return _BUILT[key].fresh(trained)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _BUILT[key].fresh(trained)
