"""Image features of a frozen tower, computed once per image and cached on disk.

Images are processed in chunks that survive a kill. A chunk is a fixed slice of the sorted images, written to a file of
its own and renamed when complete. A process starts with the missing chunks at a place of its own, so several processes
divide the work without communicating; in the worst case a chunk is computed twice, with the same result.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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
    unless_there,
)
from ordinalclip.images.cache import ImageSource
from ordinalclip.images.preprocessing import Geometry, crop_batch, crop_numbers, stack_batch
from ordinalclip.system.caches import describe, refusal
from ordinalclip.system.files import write_atomically
from ordinalclip.system.interruption import check_stop
from ordinalclip.system.terminal import progress

if TYPE_CHECKING:  # reading features takes no torch
    from ordinalclip.backbones.backbone import Backbone

log = logging.getLogger(__name__)

_WORTH_SAYING = 1.0  # seconds: what takes less is nothing that a user waits for
CHUNK = 64  # images a file: a few seconds of work, all that a kill can cost
_ATTEMPTS = 3  # at a set of features whose parts `make clean-cache` takes away meanwhile


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
    """Writes `features.npy` [U, F] and `images.txt` into a folder for each view.

    Images come from the cache of decoded images where a run has left them there; one pass is not worth filling it for.
    Chunks that are removed meanwhile are computed again.

    Args:
        backbone: with its preprocessing; its image tower comes back in eval mode and on the CPU.
        paths: image files.
        hashes: SHA-256 of each.
        folders: view → folder, which is made; either the plain image (None) or augmented views.
        cache_dir: the platform's cache.
        how: batch size (a pass never spans two chunks), decoding threads, precision.
        name: of the data set, for the progress bar.

    Raises:
        DataError: if an image cannot be read.
    """
    source = ImageSource(paths, Geometry(backbone.preprocessing, None not in folders), hashes, cache_dir)
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            _extract(backbone, source, hashes, folders, how, name)
            return
        except FileNotFoundError:
            if attempts_left == 0:
                raise
            log.warning("features of %s: some were removed while others were computed; they are made again", name)


def _extract(
    backbone: Backbone,
    source: ImageSource,
    hashes: np.ndarray,
    folders: Mapping[int | None, Path],
    how: Extraction,
    name: str,
) -> None:
    """One attempt; a FileNotFoundError where files of its own are gone."""
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
    began = time.perf_counter()
    with (
        ThreadPoolExecutor(how.num_threads) as pool,
        progress(f"features of {name}", total, " images", delay=1, initial=total - left) as bar,
    ):
        for start, images in _decoded(source, list(missing), pool):
            check_stop()
            for view in missing[start]:
                part = part_file(parts[view], start)
                if not part.is_file() and not (folders[view] / "features.npy").is_file():
                    pixels = _view(backbone, images, hashes[start : start + CHUNK], view)
                    features = _forward(tower, backbone, pixels, how, device)
                    with unless_there(folders[view] / "features.npy"):
                        write_atomically(part, partial(save_part, features))
                bar.update(len(images))
    tower.to("cpu")
    seconds = time.perf_counter() - began
    if seconds > _WORTH_SAYING:
        log.info("features of %s: %d images in %.1f s, %.0f images/s", name, left, seconds, left / seconds)
    for view, folder in folders.items():
        assemble(folder, parts[view], starts, hashes)


def _decoded(
    source: ImageSource, starts: Sequence[int], pool: ThreadPoolExecutor
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Chunks of pixels [3, H, W] with where they start, the next one decoded while one is worked on."""

    def submit(start: int) -> list[Future[np.ndarray]]:
        return [pool.submit(source.__getitem__, number) for number in range(len(source.paths))[start : start + CHUNK]]

    pending = submit(starts[0]) if starts else []
    for index, start in enumerate(starts):
        current, pending = pending, submit(starts[index + 1]) if index + 1 < len(starts) else []
        yield start, [future.result() for future in current]


def _view(backbone: Backbone, images: Sequence[np.ndarray], hashes: np.ndarray, view: int | None) -> Tensor:
    """Pixels [C, 3, S, S]; a view's crop is drawn from its number and the image's hash."""
    if view is None:
        return stack_batch(images)
    return crop_batch(backbone.preprocessing, images, [crop_numbers((view, int(sha256, 16))) for sha256 in hashes])


@torch.inference_mode()
def _forward(
    tower: torch.nn.Module, backbone: Backbone, pixels: Tensor, how: Extraction, device: torch.device
) -> np.ndarray:
    features = []
    settings = torch.backends.cudnn
    with (
        torch.autocast(device.type, dtype=torch.bfloat16, enabled=how.precision == "bf16"),
        # In float32 all of it: cuDNN's convolutions would take TF32's 10 bits of the mantissa by default.
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
