"""Files of decoded pixels: a shard is some images behind each other, and an index of their hashes and sizes.

`<name>.bin` holds the pixels of its images, each [3, H, W] in uint8; `<name>.npy` holds for each image its SHA-256, H,
W and the CRC-32 of its pixels. The index is written last: where it is and the sizes agree, the shard is complete.
"""

import zlib
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from ordinalclip.datasets.files import write_atomically

_INDEX = np.dtype([("sha256", "S64"), ("height", "<u4"), ("width", "<u4"), ("crc32", "<u4")])


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
