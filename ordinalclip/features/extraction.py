"""Extraction of a frozen image tower's features: the missing ones are computed and stored, the others read.

The missing images are sorted by hash and cut into chunks. Each chunk is written to a file of its own, which is renamed
when complete, so an interrupted extraction resumes at the next chunk. Processes that compute the same features start at
different chunks and skip those that exist; in the worst case a chunk is computed twice, with the same result.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ordinalclip.backbones.backbone import Backbone
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError
from ordinalclip.features.store import (
    StoredFeatures,
    assemble,
    feature_key,
    find_features,
    folder_of,
    hash_of,
    lookup,
    part_file,
    save_part,
    unless_assembled,
)
from ordinalclip.images.cache import ImageSource
from ordinalclip.images.preprocessing import Geometry, crop_batch, crop_numbers, stack_batch
from ordinalclip.system.caches import space_problem, write_about
from ordinalclip.system.files import write_atomically
from ordinalclip.system.interruption import check_stop
from ordinalclip.system.terminal import progress

log = logging.getLogger(__name__)

CHUNK = 64  # images per file: a few seconds of work, which is all that a kill can cost
_MIN_LOGGED_SECONDS = 1.0  # shorter extractions are not logged
_NUM_ATTEMPTS = 3  # if `make clean-cache` deletes chunks during an extraction


@dataclass(frozen=True)
class Extraction:
    """How missing features are computed.

    Attributes:
        batch_size: images per forward pass. Not part of the key: it changes last bits at most.
        num_threads: that decode images.
        precision: that the tower computes in; bf16 is part of the key. Features are stored in float32 either way: they
            are small, and float16 would overflow for towers with large outputs.
        limit_gb: size of decoded images and features together; None = free space of the disk.
        gpu: whether the tower uses a GPU if one is available.
        label: of the tower, for the list of the cache's content.
    """

    batch_size: int = 32
    num_threads: int = 2
    precision: Literal["fp32", "bf16"] = "fp32"
    limit_gb: float | None = None
    gpu: bool = True
    label: str = ""


def load_features(
    backbone: Backbone, manifest: Manifest, *, cache_dir: Path, how: Extraction = Extraction()
) -> StoredFeatures:
    """Returns the features [N, F] (float32) of a manifest's rows, in order, from disk or from the image tower.

    Args:
        backbone: from `load_backbone`, its image tower frozen.
        manifest: rows with `path` and `sha256`.
        cache_dir: the platform's cache.
        how: missing features are computed.

    Raises:
        DataError: an image cannot be read.
        ConfigError: the features do not fit on the disk or into the limit.
    """
    return _load(backbone, manifest, [None], cache_dir, how)[0]


def load_views(
    backbone: Backbone,
    manifest: Manifest,
    rows: np.ndarray,
    *,
    num_views: int,
    cache_dir: Path,
    how: Extraction = Extraction(),
) -> list[StoredFeatures]:
    """Returns features [len(rows), F] of some rows in each of V augmented views; see `load_features`.

    A view is a random crop and flip that depend on its number and the image's hash only. Runs, seeds and splits share
    views, and more views add to the stored ones.
    """
    part = replace(manifest, table=manifest.table.iloc[rows].reset_index(drop=True))
    return _load(backbone, part, range(num_views), cache_dir, how)


def _load(
    backbone: Backbone, manifest: Manifest, views: Sequence[int | None], cache_dir: Path, how: Extraction
) -> list[StoredFeatures]:
    keys = {view: feature_key(backbone.tower_key, precision=how.precision, view=view) for view in views}
    found = {view: find_features(key, manifest, cache_dir) for view, key in keys.items()}
    absent = [view for view in views if found[view] is None]
    if absent:
        _compute(backbone, manifest, {view: folder_of(keys[view], cache_dir) for view in absent}, cache_dir, how)
    found |= {view: find_features(keys[view], manifest, cache_dir) for view in absent}
    features = [stored for stored in found.values() if stored is not None]
    if len(features) < len(views):
        raise RuntimeError(f"features in {cache_dir} were deleted during the extraction; start again")
    return features


def _compute(
    backbone: Backbone, manifest: Manifest, folders: dict[int | None, Path], cache_dir: Path, how: Extraction
) -> None:
    """Computes missing features. Views that lack the same images share one pass, so each image is decoded once."""
    unique, first = np.unique(manifest.hashes(), return_index=True)
    lacking: dict[bytes, list[int | None]] = {}
    for view, folder in folders.items():
        lacking.setdefault((lookup(folder, unique)[1] < 0).tobytes(), []).append(view)
    masks = {missing: np.frombuffer(missing, dtype=bool) for missing in lacking}
    number = sum(int(masks[missing].sum()) * len(views) for missing, views in lacking.items())
    twice = max((int(mask.sum()) for mask in masks.values()), default=0)  # when joined, parts and the whole coexist
    reason = space_problem(cache_dir, (number + twice) * backbone.feature_dim * 4, how.limit_gb)
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
            write_about(folder, name=manifest.name, form=", ".join(filter(None, form)), number=len(hashes))
        files = [paths[row] for row in first[masks[missing]]]
        extract(backbone, files, hashes, targets, cache_dir=cache_dir, how=how, name=manifest.name)


def extract(
    backbone: Backbone,
    paths: Sequence[Path],
    hashes: np.ndarray,
    folders: Mapping[int | None, Path],
    *,
    cache_dir: Path,
    how: Extraction,
    name: str,
) -> None:
    """Computes the features of images and writes one store per view.

    Decoded images are read from the cache of images if a run has stored them, but not added to it for one pass. Chunks
    that are deleted meanwhile are computed again.

    Args:
        backbone: with its preprocessing. Its image tower is left in eval mode and on the CPU.
        paths: image files.
        hashes: SHA-256 of each, sorted.
        folders: view → folder of the store, which is created; either the plain image (None) or augmented views.
        cache_dir: the platform's cache.
        how: batch size (a forward pass never spans two chunks), decoding threads, precision.
        name: of the data set, for the progress bar.

    Raises:
        DataError: an image cannot be read.
    """
    source = ImageSource(paths, Geometry(backbone.preprocessing, None not in folders), hashes, cache_dir)
    for attempts_left in reversed(range(_NUM_ATTEMPTS)):
        try:
            _extract(backbone, source, hashes, folders, how, name)
            return
        except FileNotFoundError:
            if attempts_left == 0:
                raise
            log.warning("features of %s: some were deleted during the extraction; they are computed again", name)


def _extract(
    backbone: Backbone,
    source: ImageSource,
    hashes: np.ndarray,
    folders: Mapping[int | None, Path],
    how: Extraction,
    name: str,
) -> None:
    """Makes one attempt; raises FileNotFoundError if chunks were deleted."""
    starts = list(range(0, len(hashes), CHUNK))
    turn = os.getpid() % len(starts)
    parts = {view: folder / "parts" for view, folder in folders.items()}
    for folder in parts.values():
        folder.mkdir(parents=True, exist_ok=True)
    joined = {view for view, folder in folders.items() if (folder / "features.npy").is_file()}
    missing = {
        start: [view for view in folders if not part_file(parts[view], start).is_file() and view not in joined]
        for start in starts[turn:] + starts[:turn]
    }
    missing = {start: views for start, views in missing.items() if views}
    total = len(hashes) * len(folders)
    left = sum(min(CHUNK, len(hashes) - start) * len(views) for start, views in missing.items())
    device = torch.device("cuda" if how.gpu and torch.cuda.is_available() else "cpu")
    tower = backbone.image.eval().to(device)
    started = time.perf_counter()
    with (
        ThreadPoolExecutor(how.num_threads) as pool,
        progress(f"features of {name}", total, " images", delay=1, initial=total - left) as bar,
    ):
        for start, images in _decoded_chunks(source, list(missing), pool):
            check_stop()
            for view in missing[start]:
                part = part_file(parts[view], start)
                if not part.is_file() and not (folders[view] / "features.npy").is_file():
                    pixels = _pixels_of_view(backbone, images, hashes[start : start + CHUNK], view)
                    features = _forward(tower, backbone, pixels, how, device)
                    with unless_assembled(folders[view] / "features.npy"):
                        write_atomically(part, partial(save_part, features))
                bar.update(len(images))
    tower.to("cpu")
    seconds = time.perf_counter() - started
    if seconds > _MIN_LOGGED_SECONDS:
        log.info("features of %s: %d images in %.1f s, %.0f images/s", name, left, seconds, left / seconds)
    for view, folder in folders.items():
        assemble(folder, parts[view], starts, hashes)


def _decoded_chunks(
    source: ImageSource, starts: Sequence[int], pool: ThreadPoolExecutor
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yields the start and the pixels [3, H, W] of each chunk. The next chunk is decoded meanwhile."""

    def submit(start: int) -> list[Future[np.ndarray]]:
        return [pool.submit(source.__getitem__, number) for number in range(len(source.paths))[start : start + CHUNK]]

    pending = submit(starts[0]) if starts else []
    for index, start in enumerate(starts):
        current, pending = pending, submit(starts[index + 1]) if index + 1 < len(starts) else []
        yield start, [future.result() for future in current]


def _pixels_of_view(backbone: Backbone, images: Sequence[np.ndarray], hashes: np.ndarray, view: int | None) -> Tensor:
    """Returns the pixels [C, 3, S, S] of a chunk."""
    if view is None:
        return stack_batch(images)
    return crop_batch(backbone.preprocessing, images, [crop_numbers((view, int(sha256, 16))) for sha256 in hashes])


@torch.inference_mode()
def _forward(
    tower: torch.nn.Module, backbone: Backbone, pixels: Tensor, how: Extraction, device: torch.device
) -> np.ndarray:
    """Returns the features [C, F] (float32) of pixels [C, 3, S, S]."""
    features = []
    settings = torch.backends.cudnn
    with (
        torch.autocast(device.type, dtype=torch.bfloat16, enabled=how.precision == "bf16"),
        # By default cuDNN's convolutions would use TF32, which has a mantissa of 10 bits.
        settings.flags(
            enabled=settings.enabled,
            benchmark=settings.benchmark,
            deterministic=settings.deterministic,
            allow_tf32=False,
        ),
    ):
        for batch in pixels.split(how.batch_size):
            images = backbone.preprocessing.normalize_pixels(batch.to(device))
            features.append(tower(images).float().cpu())
    return torch.cat(features).numpy()
