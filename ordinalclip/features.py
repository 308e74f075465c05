"""Image features of a frozen tower, computed once per image and kept on disk.

`<cache>/features/<tower>/<images>/` has `features.npy` [U, F] in float32 and `images.txt`, the SHA-256 of the U images
in the same, sorted order. Rows are found by an image's hash, so splits, subsets and copies of a data set share them.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ordinalclip.datasets.manifest import Manifest

if TYPE_CHECKING:  # reading features takes no torch
    from ordinalclip.backbones.backbone import Backbone

# Part of the key: raise it when decoding or extraction changes what is stored.
_FORMAT = 1


def load_features(
    backbone: "Backbone",
    manifest: Manifest,
    *,
    cache_dir: Path,
    batch_size: int = 32,
    num_threads: int = 2,
) -> np.ndarray:
    """Features [N, F] (float32) of every row of a manifest, in its order, from disk or from the image tower.

    An interrupted extraction goes on where it was, and several processes that want the same one share the work; neither
    changes a bit of the result.

    Args:
        backbone: from `load_backbone`, its image tower frozen.
        manifest: rows with `path` and `sha256`.
        cache_dir: the platform's cache.
        batch_size: images in one pass of the tower. Not part of the key: it can change last bits only.
        num_threads: that decode images.

    Raises:
        DataError: if an image cannot be read.
    """
    found = find_features(backbone.tower_key, manifest, cache_dir)
    if found is not None:
        return found
    from ordinalclip.extraction import extract

    table = manifest.table
    first = table.drop_duplicates("sha256").sort_values("sha256")
    paths = [manifest.root / path for path in first["path"]]
    hashes = list(first["sha256"])
    folder = _folder(backbone.tower_key, cache_dir) / _hash_of(hashes)
    extract(backbone, paths, hashes, folder, batch_size=batch_size, num_threads=num_threads, name=manifest.name)
    found = find_features(backbone.tower_key, manifest, cache_dir)
    assert found is not None
    return found


def find_features(key: str, manifest: Manifest, cache_dir: Path) -> np.ndarray | None:
    """Features [N, F] of every row of a manifest in its order, if they are on disk; needs neither torch nor the tower.

    Args:
        key: from `ordinalclip.backbones.key.tower_key`.
        manifest: rows with `sha256`.
        cache_dir: the platform's cache.

    Returns:
        A memory map where rows lie on disk in the manifest's order, else a copy; None where some image is missing.
    """
    wanted = manifest.table["sha256"].to_numpy(dtype=str)
    unique = np.unique(wanted)
    folder = _folder(key, cache_dir)
    exact = folder / _hash_of(unique)
    others = sorted(path for path in folder.glob("*") if path != exact) if folder.is_dir() else []
    for candidate in (exact, *others):
        stored = _read(candidate)
        if stored is None:
            continue
        hashes, features = stored
        rows = np.searchsorted(hashes, wanted)
        if len(hashes) > 0 and np.array_equal(hashes[rows.clip(max=len(hashes) - 1)], wanted):
            in_place = np.array_equal(rows, np.arange(len(features)))
            return features if in_place else np.asarray(features[rows])
    return None


def _folder(key: str, cache_dir: Path) -> Path:
    return cache_dir / "features" / hashlib.sha256(f"{_FORMAT} {key}".encode()).hexdigest()[:16]


def _hash_of(hashes: Sequence[str] | np.ndarray) -> str:
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:16]


def _read(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Sorted hashes and their features, or None where they are not complete."""
    try:
        features = np.load(folder / "features.npy", mmap_mode="r")
        hashes = np.array((folder / "images.txt").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return None
    return (hashes, features) if len(hashes) == len(features) else None
