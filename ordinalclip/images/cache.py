"""The cache of decoded images: decoded and resized once, stored as uint8 pixels, found by the SHA-256 of their files.

`<cache>/images/<geometry>/<images>/` holds shards. A lookup searches all stores of a geometry, so splits, subsets and
copies of a data set share their images, and only images that no store has are decoded.

Images for random crops are stored whole, resized to 8/7 of the tower's input, so that a crop may be anywhere in the
file's image. Evaluation has stores of its own with center crops of the input's size, since resizing the larger images
once more would give other pixels.

A shard is two files. `<name>.bin` holds the pixels of its images, each [3, H, W] in uint8, one after another;
`<name>.npy` is the index with SHA-256, H, W and the CRC-32 of the pixels of each image. The index is written last: if
it exists and the sizes agree, the shard is complete.

A build splits the sorted images into chunks and writes the missing images of a chunk as one shard, named by its
content. A killed build resumes at the next chunk. Processes that build the same store start at different chunks and
skip shards that another has written; in the worst case a shard is written twice, with the same bytes.
"""

import hashlib
import logging
import os
import time
import zlib
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

import numpy as np

from ordinalclip.images.decoding import map_threads
from ordinalclip.images.preprocessing import Geometry
from ordinalclip.system.caches import GB, mark_used, space_problem, write_about
from ordinalclip.system.files import remove_abandoned_drafts, write_atomically
from ordinalclip.system.terminal import progress

log = logging.getLogger(__name__)

CHUNK = 256  # images per shard: seconds of work, which is all that a kill can cost; 50 MB at 256 pixels

_INDEX = np.dtype([("sha256", "S64"), ("height", "<u4"), ("width", "<u4"), ("crc32", "<u4")])


class ImageList(Protocol):
    """What the cache needs of a data set's manifest."""

    @property
    def name(self) -> str:
        """Name of the data set, for messages."""

    def files(self) -> Sequence[Path]:
        """The file of each image."""

    def hashes(self) -> np.ndarray:
        """SHA-256 of each file [N]."""


class ImageSource:
    """Pixels of images by their number, from the cache if it has them, else from their files.

    Args:
        paths: the files.
        geometry: which pixels of them.
        hashes: SHA-256 of each [N]; None always decodes the files.
        cache_dir: the platform's cache; None always decodes the files.
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
        """Which images the cache had when this object was made [N]."""
        return self._shard_of >= 0

    def __getitem__(self, number: int) -> np.ndarray:
        """Returns the pixels [3, H, W] (uint8) of an image, which may be read-only.

        Raises:
            DataError: the file cannot be read.
        """
        if self._shard_of[number] >= 0:
            shard = self._shards[self._shard_of[number]]
            try:
                image = shard.image(int(self._item_of[number]))
            except (OSError, ValueError):  # deleted since it was found
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
    manifest: ImageList, rows: np.ndarray, geometry: Geometry, *, cache_dir: Path, limit_gb: float | None = None
) -> ImageSource:
    """Returns the images of a manifest by row; those of `rows` are decoded and stored first if the cache lacks them.

    If they do not fit on the disk or into the limit, nothing is stored and a warning is logged. The pixels are the
    same, only decoded in every epoch.

    Args:
        manifest: rows with `path` and `sha256`.
        rows: the rows that will be read repeatedly.
        geometry: which pixels.
        cache_dir: the platform's cache.
        limit_gb: size of stored images and features together; None = free space of the disk.

    Raises:
        DataError: an image cannot be read. Shards that were written before stay.
        Stopped: a signal asked the run to stop. Shards that were written before stay.
    """
    paths, hashes = manifest.files(), manifest.hashes()
    source = ImageSource(paths, geometry, hashes, cache_dir)
    missing = rows[~source.stored[rows]]
    if len(missing) == 0:
        return source
    unique, first = np.unique(hashes[rows], return_index=True)
    wanted = rows[first]  # one row per image, sorted by hash
    absent = ~source.stored[wanted]
    files = [paths[row] for row in wanted]
    num_bytes = geometry.num_bytes([path for path, is_absent in zip(files, absent, strict=True) if is_absent])
    reason = space_problem(cache_dir, num_bytes, limit_gb)
    if reason:
        log.warning("images of %s are decoded anew in every epoch, which is slow: %s", manifest.name, reason)
        return source
    folder = cache_dir / "images" / geometry.key / hashlib.sha256("\n".join(unique).encode()).hexdigest()[:16]
    form = f"{geometry.size} px, {geometry.preprocessing.resize}, {geometry.preprocessing.interpolation}"
    purpose = "training" if geometry.augmented else "evaluation"
    write_about(folder, name=manifest.name, form=f"{form}, for {purpose}", number=len(unique))
    started = time.perf_counter()
    build_shards(files, unique, absent, geometry.pixels, folder, name=manifest.name)
    seconds, number = time.perf_counter() - started, int(absent.sum())
    log.info(
        "stored %d decoded images of %s (%s; %.2g GB) in %.1f s, %.0f images/s",
        *(number, manifest.name, form, num_bytes / GB, seconds, number / seconds),
    )
    return ImageSource(paths, geometry, hashes, cache_dir)


def build_shards(
    paths: Sequence[Path],
    hashes: Sequence[str] | np.ndarray,
    absent: np.ndarray,
    pixels: Callable[[Path], np.ndarray],
    folder: Path,
    *,
    name: str,
) -> None:
    """Writes shards of the absent images into a folder, which is created.

    Args:
        paths: image files.
        hashes: SHA-256 of each, ascending and unique.
        absent: which images no store has [N].
        pixels: returns a file's pixels [3, H, W] (uint8); called by several threads.
        folder: of the store.
        name: of the data set, for the progress bar.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned_drafts(folder)
    starts = list(range(0, len(paths), CHUNK))
    turn = os.getpid() % len(starts)
    chunks = [
        (start + np.flatnonzero(absent[start : start + CHUNK])).tolist() for start in starts[turn:] + starts[:turn]
    ]
    with progress(f"decoding images of {name}", int(absent.sum()), " images", delay=1) as bar:
        for chunk in filter(len, chunks):
            members = [str(hashes[number]) for number in chunk]
            shard = folder / f"{hashlib.sha256(''.join(members).encode()).hexdigest()[:16]}.npy"
            if read_shard(shard) is not None:
                bar.update(len(chunk))
                continue
            images = []
            for image in map_threads(pixels, [paths[number] for number in chunk]):
                images.append(image)
                bar.update()
            write_shard(shard, members, images)


class Shard:
    """A complete shard. Its pixels are mapped read-only when the first one is read.

    Args:
        path: of the index, `<folder>/<name>.npy`.
        index: content of that file.
    """

    def __init__(self, path: Path, index: np.ndarray) -> None:
        self.path, self.index = path, index
        # int64: the bytes of a shard of panoramas exceed 32 bits
        sizes = 3 * index["height"].astype(np.int64) * index["width"].astype(np.int64)
        self.ends = np.cumsum(sizes)
        self._verified = np.zeros(len(index), dtype=bool)

    @cached_property
    def _pixels(self) -> np.memmap:
        return np.memmap(self.path.with_suffix(".bin"), dtype=np.uint8, mode="r")

    def image(self, item: int) -> np.ndarray | None:
        """Returns read-only pixels [3, H, W], or None if their checksum differs (verified once per process)."""
        entry = self.index[item]
        shape = (3, int(entry["height"]), int(entry["width"]))
        end = int(self.ends[item])
        pixels = self._pixels[end - shape[0] * shape[1] * shape[2] : end]
        if not self._verified[item]:
            if zlib.crc32(pixels.data) != entry["crc32"]:
                return None
            self._verified[item] = True
        return np.asarray(pixels).reshape(shape)

    def remove(self) -> None:
        """Deletes the shard; processes that have mapped it can still read it."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".bin").unlink(missing_ok=True)


def read_shard(path: Path) -> Shard | None:
    """Returns the shard with this index file, or None if it is missing, incomplete or not a shard."""
    try:
        index = np.load(path)
        if index.dtype != _INDEX or index.ndim != 1 or len(index) == 0:
            return None
        shard = Shard(path, index)
        return shard if path.with_suffix(".bin").stat().st_size == shard.ends[-1] else None
    except (OSError, ValueError, EOFError):
        return None


def write_shard(path: Path, hashes: Sequence[str], images: Sequence[np.ndarray]) -> None:
    """Writes a shard, replacing a broken one.

    Args:
        path: of the index file.
        hashes: SHA-256 of each image's file.
        images: pixels [3, H, W] in uint8.
    """
    contiguous = [np.ascontiguousarray(image) for image in images]
    index = np.zeros(len(contiguous), dtype=_INDEX)
    index["sha256"] = hashes
    index["height"] = [image.shape[1] for image in contiguous]
    index["width"] = [image.shape[2] for image in contiguous]
    index["crc32"] = [zlib.crc32(image.data) for image in contiguous]
    write_atomically(path.with_suffix(".bin"), partial(_write_pixels, contiguous))
    write_atomically(path, partial(_write_index, index))


def _write_pixels(images: Sequence[np.ndarray], path: Path) -> None:
    with path.open("wb") as file:
        for image in images:
            file.write(image.data.cast("B"))


def _write_index(index: np.ndarray, path: Path) -> None:
    with path.open("wb") as file:  # np.save would append .npy to a temporary name
        np.save(file, index)
