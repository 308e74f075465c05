"""Image features on disk: where they are, how they are found, verified and read, and how chunks become a store.

`<cache>/features/<key>/<images>/` has `features.npy` [U, F] in float32, `images.txt`, the SHA-256 of the U images in
the same, sorted order, and a checksum. Rows are found by an image's hash in all stores of a key, so splits, folds,
subsets and copies of a data set share them. Only the rows asked for are read. Imports no torch.
"""

import contextlib
import hashlib
import logging
import shutil
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ordinalclip.datasets.manifest import Manifest
from ordinalclip.system.caches import mark_used
from ordinalclip.system.files import sweep_drafts, write_atomically

log = logging.getLogger(__name__)

# Part of the key: raise it when decoding or extraction changes what is stored.
_FORMAT = 1
_SOUND: set[tuple[str, int, int]] = set()  # files that this process has checked


class StoredFeatures:
    """Features [N, F] in float32 as an array would hold them, of which only the rows that are asked for are in memory.

    Args:
        stores: memory maps [.., F].
        store_of: which of them has each row [N].
        row_of: and where there [N].
    """

    def __init__(self, stores: Sequence[np.ndarray], store_of: np.ndarray, row_of: np.ndarray) -> None:
        self._stores = [np.asarray(store) for store in stores]  # still maps, without a subclass's cost at each access
        self._store_of, self._row_of = store_of, row_of
        self.shape = (len(row_of), stores[0].shape[1])

    def __len__(self) -> int:
        return len(self._row_of)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """A copy [n, F] of some rows."""
        place = self._row_of[rows]
        if len(self._stores) == 1:
            return self._stores[0][place]
        store_of = self._store_of[rows]
        features = np.empty((len(place), self.shape[1]), dtype=np.float32)
        for number in np.unique(store_of):
            features[store_of == number] = self._stores[number][place[store_of == number]]
        return features

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of them, copied into memory."""
        return self[np.arange(len(self))].astype(np.float32 if dtype is None else dtype, copy=False)


def feature_key(tower_key: str, *, precision: str = "fp32", view: int | None = None) -> str:
    """The name of features: equal keys, equal features of an image.

    Args:
        tower_key: from `ordinalclip.backbones.load.tower_key`.
        precision: that the tower computes in.
        view: number of an augmented view; None is the plain image.
    """
    words = [tower_key, *([precision] if precision != "fp32" else []), *([f"view {view}"] if view is not None else [])]
    return " ".join(words)


def find_features(key: str, manifest: Manifest, cache_dir: Path) -> StoredFeatures | None:
    """Features [N, F] of every row of a manifest in its order, if they are on disk; needs neither torch nor the tower.

    Args:
        key: from `feature_key`, which for plain images in fp32 is the tower's own.
        manifest: rows with `sha256`.
        cache_dir: the platform's cache.

    Returns:
        Memory maps with each row's place in them; None where some image is missing.
    """
    unique, place = np.unique(manifest.hashes(), return_inverse=True)
    stores, store_of, row_of = lookup(folder_of(key, cache_dir), unique)
    if (store_of < 0).any():
        return None
    return StoredFeatures(stores, store_of[place], row_of[place])


def folder_of(key: str, cache_dir: Path) -> Path:
    """The folder of a key's stores."""
    return cache_dir / "features" / hashlib.sha256(f"{_FORMAT} {key}".encode()).hexdigest()[:16]


def hash_of(hashes: Sequence[str] | np.ndarray) -> str:
    """The name of the store that is made for these images."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:16]


def lookup(folder: Path, unique: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Stores that have some of the images, and for each image [U] its store (-1 where none has it) and row there."""
    exact = folder / hash_of(unique)
    others = sorted(path for path in folder.glob("*") if path != exact) if folder.is_dir() else []
    store_of, row_of = np.full(len(unique), -1), np.zeros(len(unique), dtype=np.int64)
    stores: list[np.ndarray] = []
    for candidate in (exact, *others):
        stored = _read(candidate) if (store_of < 0).any() else None
        if stored is None:
            continue
        hashes, features = stored
        rows = np.searchsorted(hashes, unique).clip(max=len(hashes) - 1)
        new = (hashes[rows] == unique) & (store_of < 0)
        if new.any():
            store_of[new], row_of[new] = len(stores), rows[new]
            stores.append(features)
            mark_used(candidate)
    return stores, store_of, row_of


def _read(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Sorted hashes and their features; None where they are not complete, and gone where they are damaged."""
    target = folder / "features.npy"
    if not target.is_file():
        return None
    try:
        features = np.load(target, mmap_mode="r")
        hashes = np.array((folder / "images.txt").read_text(encoding="ascii").split())
        if 0 < len(hashes) == len(features) and _is_sound(target):
            return hashes, features
    except (OSError, ValueError, EOFError):
        pass
    log.warning("%s: stored features are damaged; they are computed again", target)
    target.unlink(missing_ok=True)
    return None


def checksum(path: Path) -> str:
    """CRC-32 of a file, in hexadecimal."""
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return f"{value:08x}"


def _is_sound(path: Path) -> bool:
    """Whether a file has the checksum that lies beside it; read once a process. Early stores have none."""
    expected = path.with_name("checksum.txt")
    if not expected.is_file():
        return True
    status = path.stat()
    state = (str(path), status.st_size, status.st_mtime_ns)
    if state not in _SOUND and expected.read_text(encoding="ascii").strip() == checksum(path):
        _SOUND.add(state)
    return state in _SOUND


def part_file(parts: Path, start: int) -> Path:
    """The file of the chunk that begins at an image."""
    return parts / f"{start:09d}.npy"


def save_part(features: np.ndarray, path: Path) -> None:
    """Writes a chunk's features [n, F]."""
    with path.open("wb") as file:  # np.save would add .npy to a temporary name
        np.save(file, features)


def assemble(folder: Path, parts: Path, starts: Sequence[int], hashes: np.ndarray) -> None:
    """Joins the chunks. Where another process has done so and swept them away, there is nothing left to do.

    Args:
        folder: of the whole, `features.npy` with its hashes and checksum.
        parts: the folder of the chunks, removed in the end.
        starts: where the chunks begin, in order.
        hashes: SHA-256 of each image.

    Raises:
        FileNotFoundError: a chunk is gone, and nobody has joined it.
    """
    target = folder / "features.npy"
    sweep_drafts(folder)
    if not target.is_file():
        text = "\n".join(hashes) + "\n"
        write_atomically(folder / "images.txt", lambda path: path.write_text(text, encoding="ascii"))
        with unless_there(target):
            write_atomically(target, partial(_join, [part_file(parts, start) for start in starts], len(hashes), folder))
    shutil.rmtree(parts, ignore_errors=True)


@contextlib.contextmanager
def unless_there(target: Path) -> Iterator[None]:
    """Passes over files that have gone where another process has joined all of them and swept them away."""
    try:
        yield
    except FileNotFoundError:
        if not target.is_file():
            raise


def _join(files: Sequence[Path], num_rows: int, folder: Path, path: Path) -> None:
    width = np.load(files[0], mmap_mode="r").shape[1]
    descr = np.lib.format.dtype_to_descr(np.dtype(np.float32))
    with path.open("wb") as joined:  # written, not mapped: a full disk is an error then, and kills no process
        head = {"descr": descr, "fortran_order": False, "shape": (num_rows, width)}
        np.lib.format.write_array_header_1_0(joined, head)
        for file in files:
            joined.write(np.ascontiguousarray(np.load(file), dtype=np.float32).data)
    value = checksum(path)  # before the features take their name, so that there are none without it
    write_atomically(folder / "checksum.txt", lambda draft: draft.write_text(value + "\n", encoding="ascii"))
