"""Image features of a frozen tower, computed once per image and kept on disk: what is missing is computed first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError
from ordinalclip.feature_store import feature_key, find_features, folder_of, hash_of, lookup
from ordinalclip.stored_features import StoredFeatures
from ordinalclip.stores import describe, refusal

if TYPE_CHECKING:  # reading features takes no torch
    from ordinalclip.backbones.backbone import Backbone


@dataclass(frozen=True)
class Extraction:
    """How features are computed where they are not on disk.

    Attributes:
        batch_size: images in one pass of the tower. Not part of the key: it can change last bits only.
        num_threads: that decode images.
        precision: that the tower computes in; bf16 is part of the key. Features are float32 either way: they are small,
            and float16 would overflow where a tower ends in large numbers.
        limit_gb: of decoded images and features together; None = as much as the disk holds.
        gpu: whether the tower goes to a GPU where there is one.
        label: of the tower, for the list of what the cache holds.
    """

    batch_size: int = 32
    num_threads: int = 2
    precision: Literal["fp32", "bf16"] = "fp32"
    limit_gb: float | None = None
    gpu: bool = True
    label: str = ""


def load_features(
    backbone: "Backbone", manifest: Manifest, *, cache_dir: Path, how: Extraction = Extraction()
) -> StoredFeatures:
    """Features [N, F] (float32) of every row of a manifest, in its order, from disk or from the image tower.

    An interrupted extraction goes on where it was, and several processes that want the same one share the work; neither
    changes a bit of the result.

    Args:
        backbone: from `load_backbone`, its image tower frozen.
        manifest: rows with `path` and `sha256`.
        cache_dir: the platform's cache.
        how: to compute what is not there.

    Raises:
        DataError: if an image cannot be read.
        ConfigError: if what is to be stored goes over the limit or the disk.
    """
    return _load(backbone, manifest, [None], cache_dir, how)[0]


def load_views(
    backbone: "Backbone",
    manifest: Manifest,
    rows: np.ndarray,
    *,
    num_views: int,
    cache_dir: Path,
    how: Extraction = Extraction(),
) -> list[StoredFeatures]:
    """Features [len(rows), F] of some rows in each of V augmented views; otherwise like `load_features`.

    A view is a random crop, mirrored or not, drawn from its number and the image's hash: runs, seeds and splits share
    views, and more of them add to those that are there.
    """
    part = replace(manifest, table=manifest.table.iloc[rows].reset_index(drop=True))
    return _load(backbone, part, range(num_views), cache_dir, how)


def _load(
    backbone: "Backbone", manifest: Manifest, views: Sequence[int | None], cache_dir: Path, how: Extraction
) -> list[StoredFeatures]:
    keys = {view: feature_key(backbone.tower_key, precision=how.precision, view=view) for view in views}
    found = {view: find_features(key, manifest, cache_dir) for view, key in keys.items()}
    absent = [view for view in views if found[view] is None]
    if absent:
        _compute(backbone, manifest, {view: folder_of(keys[view], cache_dir) for view in absent}, cache_dir, how)
    found |= {view: find_features(keys[view], manifest, cache_dir) for view in absent}
    features = [stored for stored in found.values() if stored is not None]
    if len(features) < len(views):
        raise RuntimeError(f"features in {cache_dir} were removed while they were made; start again")
    return features


def _compute(
    backbone: "Backbone", manifest: Manifest, folders: dict[int | None, Path], cache_dir: Path, how: Extraction
) -> None:
    """Computes what is missing; views that lack the same images are computed together, each image decoded once."""
    from ordinalclip.extraction import extract

    unique, first = np.unique(manifest.hashes(), return_index=True)
    lacking: dict[bytes, list[int | None]] = {}
    for view, folder in folders.items():
        lacking.setdefault((lookup(folder, unique)[1] < 0).tobytes(), []).append(view)
    masks = {missing: np.frombuffer(missing, dtype=bool) for missing in lacking}
    number = sum(int(masks[missing].sum()) * len(views) for missing, views in lacking.items())
    twice = max((int(mask.sum()) for mask in masks.values()), default=0)  # a store's parts and the whole, when joined
    reason = refusal(cache_dir, (number + twice) * backbone.feature_dim * 4, how.limit_gb)
    if reason:
        raise ConfigError("cache.limit_gb", how.limit_gb, f"features of {manifest.name}: {reason}")
    paths = manifest.files()
    for missing, views in lacking.items():
        hashes = unique[masks[missing]]
        if len(hashes) == 0:  # another process has just finished
            continue
        targets = {view: folders[view] / hash_of(hashes) for view in views}
        for view, folder in targets.items():
            form = [how.label, *([] if view is None else [f"view {view}"]), how.precision]
            describe(folder, name=manifest.name, form=", ".join(filter(None, form)), number=len(hashes))
        files = [paths[row] for row in first[masks[missing]]]
        extract(backbone, files, hashes, targets, cache_dir=cache_dir, how=how, name=manifest.name)
