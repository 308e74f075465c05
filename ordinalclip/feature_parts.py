"""Features on disk while they are made: a file for each chunk of images, joined when all are there. No torch."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ordinalclip.datasets.files import sweep_drafts, write_atomically
from ordinalclip.feature_store import checksum


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
