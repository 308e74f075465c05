"""Images decoded and resized once, kept as bytes, found by the SHA-256 of their files.

`<cache>/images/<geometry>/<images>/` holds shards of pixels. A geometry is all that decides what is stored: size, way
of resizing, interpolation, Pillow. A lookup goes through all stores of a geometry, so splits, subsets and copies of a
data set share what is there, and only images that no store has are decoded.

Images for random crops are stored whole, scaled to 8/7 of the tower's input, the aspect kept where the tower keeps it:
a crop can lie wherever it can lie in the file's image. Evaluation has stores of its own, with the centre scaled to the
input's size: a second resize of the larger ones would give other pixels than a tower is meant to see.
"""

import hashlib
import logging
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from ordinalclip.datasets.manifest import Manifest
from ordinalclip.image_build import build_shards
from ordinalclip.image_geometry import Geometry
from ordinalclip.image_shards import Shard, read_shard
from ordinalclip.stores import GB, describe, mark_used, refusal

log = logging.getLogger(__name__)


class ImageSource:
    """Pixels of images by their number, from the cache where it has them, else from their files.

    Args:
        paths: the files.
        geometry: what of them.
        hashes: SHA-256 of each [N]; None = always from the files.
        cache_dir: the platform's cache; None = always from the files.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        geometry: Geometry,
        hashes: np.ndarray | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        self.paths, self.geometry = paths, geometry
        self._shards: list[Shard] = []
        self._shard_of = np.full(len(paths), -1)
        self._item_of = np.zeros(len(paths), dtype=np.int64)
        if hashes is not None and cache_dir is not None:
            self._find(hashes.astype("S64"), cache_dir / "images" / geometry.key)

    @cached_property
    def stored(self) -> np.ndarray:
        """Which images the cache had when this was made [N]."""
        return self._shard_of >= 0

    def __getitem__(self, number: int) -> np.ndarray:
        """Pixels [3, H, W] (uint8), perhaps read-only.

        Raises:
            DataError: naming the file, where it cannot be read.
        """
        if self._shard_of[number] >= 0:
            shard = self._shards[self._shard_of[number]]
            try:
                image = shard.image(int(self._item_of[number]))
            except (OSError, ValueError):  # swept away since it was found
                image = None
            if image is not None:
                return image
            if shard.path.exists():
                log.warning("%s: stored pixels are damaged; decoding these again, the next run stores them", shard.path)
                shard.remove()
            self._shard_of[number] = -1
        return self.geometry.pixels(self.paths[number])

    def _find(self, wanted: np.ndarray, folder: Path) -> None:
        shards = [shard for path in sorted(folder.glob("*/*.npy")) if (shard := read_shard(path)) is not None]
        if not shards:
            return
        hashes = np.concatenate([shard.index["sha256"] for shard in shards])
        owner = np.concatenate([np.full(len(shard.index), number) for number, shard in enumerate(shards)])
        item = np.concatenate([np.arange(len(shard.index)) for shard in shards])
        order = np.argsort(hashes, kind="stable")
        place = order[np.searchsorted(hashes, wanted, sorter=order).clip(max=len(order) - 1)]
        found = hashes[place] == wanted
        self._shards = shards
        self._shard_of = np.where(found, owner[place], -1)
        self._item_of = item[place]
        for store in {shards[number].path.parent for number in np.unique(self._shard_of[found])}:
            mark_used(store)


def load_images(
    manifest: Manifest, rows: np.ndarray, geometry: Geometry, *, cache_dir: Path, limit_gb: float | None = None
) -> ImageSource:
    """Images of a manifest by row; those of `rows` are decoded and stored first where the cache does not have them.

    A build that was killed goes on where it was, and processes that want the same images share the work. Where they
    would not fit, nothing is stored and a warning says what to do: the same run, only slower.

    Args:
        manifest: rows with `path` and `sha256`.
        rows: that will be asked for again and again.
        geometry: what of them.
        cache_dir: the platform's cache.
        limit_gb: of images and features together; None = as much as the disk holds.

    Raises:
        DataError: naming the file, where an image cannot be read; all that was stored by then stays.
    """
    paths, hashes = manifest.files(), manifest.hashes()
    source = ImageSource(paths, geometry, hashes, cache_dir)
    missing = rows[~source.stored[rows]]
    if len(missing) == 0:
        return source
    unique, first = np.unique(hashes[rows], return_index=True)
    wanted = rows[first]  # one of each, sorted by hash
    absent = ~source.stored[wanted]
    files = [paths[row] for row in wanted]
    num_bytes = geometry.num_bytes([path for path, is_absent in zip(files, absent, strict=True) if is_absent])
    reason = refusal(cache_dir, num_bytes, limit_gb)
    if reason:
        log.warning("images of %s are decoded anew in every epoch, which is slow: %s", manifest.name, reason)
        return source
    folder = cache_dir / "images" / geometry.key / hashlib.sha256("\n".join(unique).encode()).hexdigest()[:16]
    form = f"{geometry.size} px, {geometry.preprocessing.resize}, {geometry.preprocessing.interpolation}"
    purpose = "training" if geometry.augmented else "evaluation"
    describe(folder, name=manifest.name, form=f"{form}, for {purpose}", number=len(unique))
    started = time.perf_counter()
    build_shards(files, unique, absent, geometry.pixels, folder, name=manifest.name)
    seconds, number = time.perf_counter() - started, int(absent.sum())
    log.info(
        "stored %d decoded images of %s (%s; %.2g GB) in %.1f s, %.0f images/s",
        *(number, manifest.name, form, num_bytes / GB, seconds, number / seconds),
    )
    return ImageSource(paths, geometry, hashes, cache_dir)
