"""Backbones by their configuration, each built once in a process."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_method

from ordinalclip.backbones.backbone import Backbone
from ordinalclip.backbones.key import tower_key
from ordinalclip.backbones.lazy import LazyTower
from ordinalclip.backbones.weights import WeightFile, find_weights

_BUILT: dict[str, Backbone] = {}  # as it came from its builder; never handed out itself


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
