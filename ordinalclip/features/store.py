"""The store of a frozen tower's features: where they are on disk, how they are found, verified and written. No torch.

`<cache>/features/<key>/<images>/` is one store. It holds `features.npy` [U, F] in float32, `images.txt` with the
SHA-256 of the U images in the same, sorted order, and `checksum.txt`. An image is found by its hash in all stores of a
key, so splits, folds, subsets and copies of a data set share features.

While a store is computed, `parts/` holds one file per chunk of images. `assemble` joins them into `features.npy` and
deletes them. Several processes may do this at once.
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
from ordinalclip.system.files import remove_abandoned_drafts, write_atomically

log = logging.getLogger(__name__)

_FORMAT = 1  # part of the folder's name: increase it if decoding or extraction changes the stored numbers
_VERIFIED: set[tuple[str, int, int]] = set()  # path, size and time of the files that this process has verified


class StoredFeatures:
    """Memory-mapped features [N, F] in float32, indexed like an array. Only the rows that are read are loaded.

    Args:
        stores: memory maps [.., F].
        store_of: number of the store of each row [N].
        row_of: row in that store [N].
    """

    def __init__(self, stores: Sequence[np.ndarray], store_of: np.ndarray, row_of: np.ndarray) -> None:
        self._stores = [np.asarray(store) for store in stores]  # np.memmap adds a cost to each access
        self._store_of, self._row_of = store_of, row_of
        self.shape = (len(row_of), stores[0].shape[1])

    def __len__(self) -> int:
        return len(self._row_of)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Returns a copy [n, F] of some rows."""
        place = self._row_of[rows]
        if len(self._stores) == 1:
            return self._stores[0][place]
        store_of = self._store_of[rows]
        features = np.empty((len(place), self.shape[1]), dtype=np.float32)
        for number in np.unique(store_of):
            features[store_of == number] = self._stores[number][place[store_of == number]]
        return features

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Returns a copy of all rows."""
        return self[np.arange(len(self))].astype(np.float32 if dtype is None else dtype, copy=False)


def feature_key(tower_key: str, *, precision: str = "fp32", view: int | None = None) -> str:
    """Returns the key of features. Equal keys mean equal features of an image.

    Args:
        tower_key: from `ordinalclip.backbones.load.tower_key`; the key of plain images in fp32.
        precision: that the tower computes in.
        view: number of an augmented view; None is the plain image.
    """
    words = [tower_key, *([precision] if precision != "fp32" else []), *([f"view {view}"] if view is not None else [])]
    return " ".join(words)


def find_features(key: str, manifest: Manifest, cache_dir: Path) -> StoredFeatures | None:
    """Returns the stored features [N, F] of a manifest's rows, in order, or None if those of an image are missing.

    Args:
        key: from `feature_key`.
        manifest: rows with `sha256`.
        cache_dir: the platform's cache.
    """
    unique, place = np.unique(manifest.hashes(), return_inverse=True)
    stores, store_of, row_of = lookup(folder_of(key, cache_dir), unique)
    if (store_of < 0).any():
        return None
    return StoredFeatures(stores, store_of[place], row_of[place])


def folder_of(key: str, cache_dir: Path) -> Path:
    """Returns the folder that holds a key's stores."""
    return cache_dir / "features" / hashlib.sha256(f"{_FORMAT} {key}".encode()).hexdigest()[:16]


def hash_of(hashes: Sequence[str] | np.ndarray) -> str:
    """Returns the folder name of the store of these images."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:16]


def lookup(folder: Path, unique: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Finds images in the stores of a key.

    Args:
        folder: from `folder_of`.
        unique: SHA-256 of the images [U], sorted.

    Returns:
        The stores in use; for each image [U] the number of its store, -1 if no store has it; and its row there [U].
    """
    exact = folder / hash_of(unique)
    others = sorted(path for path in folder.glob("*") if path != exact) if folder.is_dir() else []
    store_of, row_of = np.full(len(unique), -1), np.zeros(len(unique), dtype=np.int64)
    stores: list[np.ndarray] = []
    for candidate in (exact, *others):
        stored = _read_store(candidate) if (store_of < 0).any() else None
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


def _read_store(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the sorted hashes and features of a store, or None if it is incomplete. Damaged features are deleted."""
    target = folder / "features.npy"
    if not target.is_file():
        return None
    try:
        features = np.load(target, mmap_mode="r")
        hashes = np.array((folder / "images.txt").read_text(encoding="ascii").split())
        if 0 < len(hashes) == len(features) and _verify(target):
            return hashes, features
    except (OSError, ValueError, EOFError):
        pass
    log.warning("%s: stored features are damaged; they are computed again", target)
    target.unlink(missing_ok=True)
    return None


def _verify(path: Path) -> bool:
    """Returns whether a file agrees with `checksum.txt`, read once per process. The earliest stores have none."""
    expected = path.with_name("checksum.txt")
    if not expected.is_file():
        return True
    status = path.stat()
    state = (str(path), status.st_size, status.st_mtime_ns)
    if state not in _VERIFIED and expected.read_text(encoding="ascii").strip() == _checksum(path):
        _VERIFIED.add(state)
    return state in _VERIFIED


def _checksum(path: Path) -> str:
    """Returns the CRC-32 of a file in hexadecimal."""
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return f"{value:08x}"


def part_file(parts: Path, start: int) -> Path:
    """Returns the file of the chunk whose first image is number `start`."""
    return parts / f"{start:09d}.npy"


def save_part(features: np.ndarray, path: Path) -> None:
    """Writes a chunk's features [n, F]."""
    with path.open("wb") as file:  # np.save would append .npy to a temporary name
        np.save(file, features)


def assemble(folder: Path, parts: Path, starts: Sequence[int], hashes: np.ndarray) -> None:
    """Joins the chunks of a store, unless another process has done so.

    Args:
        folder: of the store.
        parts: folder of the chunks, removed in the end.
        starts: number of the first image of each chunk, in order.
        hashes: SHA-256 of each image.

    Raises:
        FileNotFoundError: a chunk was deleted before any process joined it.
    """
    target = folder / "features.npy"
    remove_abandoned_drafts(folder)
    if not target.is_file():
        text = "\n".join(hashes) + "\n"
        write_atomically(folder / "images.txt", lambda path: path.write_text(text, encoding="ascii"))
        with unless_assembled(target):
            write_atomically(target, partial(_join, [part_file(parts, start) for start in starts], len(hashes), folder))
    shutil.rmtree(parts, ignore_errors=True)


@contextlib.contextmanager
def unless_assembled(target: Path) -> Iterator[None]:
    """Suppresses FileNotFoundError if `target` exists: another process has joined the chunks and deleted them."""
    try:
        yield
    except FileNotFoundError:
        if not target.is_file():
            raise


def _join(files: Sequence[Path], num_rows: int, folder: Path, path: Path) -> None:
    width = np.load(files[0], mmap_mode="r").shape[1]
    descr = np.lib.format.dtype_to_descr(np.dtype(np.float32))
    with path.open("wb") as joined:  # not a memory map: on a full disk a write raises, a map kills the process
        header = {"descr": descr, "fortran_order": False, "shape": (num_rows, width)}
        np.lib.format.write_array_header_1_0(joined, header)
        for file in files:
            joined.write(np.ascontiguousarray(np.load(file), dtype=np.float32).data)
    value = _checksum(path)  # written before `features.npy` is renamed, so no features exist without it
    write_atomically(folder / "checksum.txt", lambda draft: draft.write_text(value + "\n", encoding="ascii"))
