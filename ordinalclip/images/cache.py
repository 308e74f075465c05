"""Images decoded and resized once, cached as bytes, found by the SHA-256 of their files.

`<cache>/images/<geometry>/<images>/` holds shards. A geometry is everything that decides the stored pixels: size, way
of resizing, interpolation, version of Pillow. A lookup searches all stores of a geometry, so splits, subsets and copies
of a data set share images, and only images that no store has are decoded.

A shard is two files: `<name>.bin` holds the pixels of its images, each [3, H, W] in uint8; `<name>.npy` holds for each
image its SHA-256, H, W and the CRC-32 of its pixels. The index is written last: if it exists and the sizes agree, the
shard is complete. Chunks of the sorted images are decoded in an order of each process's own, so several processes share
the work and a kill costs one chunk; in the worst case a shard is made twice, with the same bytes.

Images for random crops are stored whole, scaled to 8/7 of the tower's input with the aspect that the tower keeps, so a
crop can lie anywhere in the file's image. Evaluation has stores of its own with the centre scaled to the input's size:
a second resize of the larger ones would give other pixels.
"""

import hashlib
import logging
import os
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

import numpy as np

from ordinalclip.images.decoding import num_threads
from ordinalclip.images.preprocessing import Geometry
from ordinalclip.system.caches import GB, describe, mark_used, refusal
from ordinalclip.system.files import sweep_drafts, write_atomically
from ordinalclip.system.interruption import check_stop
from ordinalclip.system.terminal import progress

_INDEX = np.dtype([("sha256", "S64"), ("height", "<u4"), ("width", "<u4"), ("crc32", "<u4")])

log = logging.getLogger(__name__)

CHUNK = 256  # images a shard: seconds of work, all that a kill can cost; 50 MB at 256 pixels


class Shard:
    """A complete shard, its pixels mapped read-only when first asked for.

    Args:
        path: of its index, `<folder>/<name>.npy`.
        index: what is in it.
    """

    def __init__(self, path: Path, index: np.ndarray) -> None:
        self.path, self.index = path, index
        # In 64 bits: a panorama times the number of images goes beyond 32.
        sizes = 3 * index["height"].astype(np.int64) * index["width"].astype(np.int64)
        self.ends = np.cumsum(sizes)
        self._sound = np.zeros(len(index), dtype=bool)

    @cached_property
    def _pixels(self) -> np.memmap:
        return np.memmap(self.path.with_suffix(".bin"), dtype=np.uint8, mode="r")

    def image(self, item: int) -> np.ndarray | None:
        """Pixels [3, H, W], a read-only view; None where they are not what was written (looked at once a process)."""
        entry = self.index[item]
        shape = (3, int(entry["height"]), int(entry["width"]))
        end = int(self.ends[item])
        pixels = self._pixels[end - shape[0] * shape[1] * shape[2] : end]
        if not self._sound[item]:
            if zlib.crc32(pixels.data) != entry["crc32"]:
                return None
            self._sound[item] = True
        return np.asarray(pixels).reshape(shape)

    def remove(self) -> None:
        """Deletes it; maps that processes have stay readable."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".bin").unlink(missing_ok=True)


def read_shard(path: Path) -> Shard | None:
    """A shard by the path of its index; None where it is missing, cut off or not one."""
    try:
        index = np.load(path)
        if index.dtype != _INDEX or index.ndim != 1 or len(index) == 0:
            return None
        shard = Shard(path, index)
        return shard if path.with_suffix(".bin").stat().st_size == shard.ends[-1] else None
    except (OSError, ValueError, EOFError):
        return None


def write_shard(path: Path, hashes: Sequence[str], images: Sequence[np.ndarray]) -> None:
    """Writes a shard, in place of a broken one too.

    Args:
        path: of its index.
        hashes: SHA-256 of each image's file.
        images: [3, H, W] pixels in uint8.
    """
    whole = [np.ascontiguousarray(image) for image in images]
    index = np.zeros(len(whole), dtype=_INDEX)
    index["sha256"] = hashes
    index["height"] = [image.shape[1] for image in whole]
    index["width"] = [image.shape[2] for image in whole]
    index["crc32"] = [zlib.crc32(image.data) for image in whole]
    write_atomically(path.with_suffix(".bin"), partial(_write_pixels, whole))
    write_atomically(path, partial(_write_index, index))


def _write_pixels(images: Sequence[np.ndarray], path: Path) -> None:
    with path.open("wb") as file:
        for image in images:
            file.write(image.data.cast("B"))


def _write_index(index: np.ndarray, path: Path) -> None:
    with path.open("wb") as file:  # np.save would add .npy to a temporary name
        np.save(file, index)


def build_shards(
    paths: Sequence[Path],
    hashes: Sequence[str] | np.ndarray,
    absent: np.ndarray,
    pixels: Callable[[Path], np.ndarray],
    folder: Path,
    *,
    name: str,
) -> None:
    """Writes shards of the absent images into a folder.

    Args:
        paths: image files.
        hashes: SHA-256 of each, ascending, each once.
        absent: which of them no store has [N].
        pixels: [3, H, W] (uint8) of a file; called by several threads.
        folder: is made.
        name: of the data set, for the progress bar.

    Raises:
        DataError: naming the file, where an image cannot be read.
        Stopped: a signal asked for it; shards that were written stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep_drafts(folder)
    starts = list(range(0, len(paths), CHUNK))
    turn = os.getpid() % len(starts)
    chunks = [
        (start + np.flatnonzero(absent[start : start + CHUNK])).tolist() for start in starts[turn:] + starts[:turn]
    ]
    with (
        ThreadPoolExecutor(num_threads()) as pool,
        progress(f"decoding images of {name}", int(absent.sum()), " images", delay=1) as bar,
    ):
        try:
            for chunk in filter(len, chunks):
                members = [str(hashes[number]) for number in chunk]
                shard = folder / f"{hashlib.sha256(''.join(members).encode()).hexdigest()[:16]}.npy"
                if read_shard(shard) is not None:
                    bar.update(len(chunk))
                    continue
                images = []
                for image in pool.map(pixels, [paths[number] for number in chunk]):
                    check_stop()
                    images.append(image)
                    bar.update()
                write_shard(shard, members, images)
        except BaseException:  # no signal and no broken image waits for all that is queued
            pool.shutdown(cancel_futures=True)
            raise


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


class ImageList(Protocol):
    """What the cache needs of a data set's manifest."""

    @property
    def name(self) -> str:
        """Of the data set, for messages."""

    def files(self) -> Sequence[Path]:
        """The file of each image."""

    def hashes(self) -> np.ndarray:
        """SHA-256 of each file [N]."""


def load_images(
    manifest: ImageList, rows: np.ndarray, geometry: Geometry, *, cache_dir: Path, limit_gb: float | None = None
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
