"""The pass of all images through an image tower, in chunks that survive a kill and can be shared by processes.

A chunk is a fixed slice of the sorted images, written to a file of its own and renamed when complete. A process that
starts takes the chunks that are missing, beginning at a place of its own, so several of them divide the work without
talking to each other; in the worst case a chunk is computed twice, with the same result.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ordinalclip.backbones.backbone import Backbone
from ordinalclip.datasets.files import write_atomically
from ordinalclip.datasets.images import open_rgb
from ordinalclip.progress import progress

CHUNK = 64  # images a file: a few seconds of work, all that a kill can cost


def extract(
    backbone: Backbone,
    paths: Sequence[Path],
    hashes: Sequence[str],
    folder: Path,
    *,
    batch_size: int,
    num_threads: int,
    name: str,
) -> None:
    """Writes `features.npy` [U, F] and `images.txt` into a folder; computes in float32, on a GPU where there is one.

    Args:
        backbone: with its preprocessing; its image tower comes back in eval mode and on the CPU.
        paths: image files.
        hashes: SHA-256 of each.
        folder: is made.
        batch_size: images in one pass of the tower; a pass never spans two chunks.
        num_threads: that decode images.
        name: of the data set, for the progress bar.

    Raises:
        DataError: if an image cannot be read.
    """
    parts = folder / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    starts = list(range(0, len(paths), CHUNK))
    turn = os.getpid() % len(starts)
    missing = [start for start in starts[turn:] + starts[:turn] if not _part(parts, start).is_file()]
    done = len(paths) - sum(min(CHUNK, len(paths) - start) for start in missing)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tower = backbone.image.eval().to(device)
    with (
        ThreadPoolExecutor(num_threads) as pool,
        progress(f"features of {name}", len(paths), " images", delay=1, initial=done) as bar,
    ):
        for start, images in _decoded(backbone, paths, missing, pool):
            if not _part(parts, start).is_file() and not (folder / "features.npy").is_file():
                features = _forward(tower, images, batch_size, device)
                write_atomically(_part(parts, start), partial(_save, features))
            bar.update(len(images))
    tower.to("cpu")
    _assemble(folder, parts, starts, hashes)


def _decoded(
    backbone: Backbone, paths: Sequence[Path], starts: Sequence[int], pool: ThreadPoolExecutor
) -> Iterator[tuple[int, Tensor]]:
    """Chunks as tensors [C, 3, H, W] with where they start, the next one decoded while one is worked on."""

    def decode(path: Path) -> Tensor:
        return backbone.preprocessing.to_tensor(open_rgb(path))

    def submit(start: int) -> list[Future[Tensor]]:
        return [pool.submit(decode, path) for path in paths[start : start + CHUNK]]

    pending = submit(starts[0]) if starts else []
    for index, start in enumerate(starts):
        current, pending = pending, submit(starts[index + 1]) if index + 1 < len(starts) else []
        yield start, torch.stack([future.result() for future in current])


@torch.inference_mode()
def _forward(tower: torch.nn.Module, images: Tensor, batch_size: int, device: torch.device) -> np.ndarray:
    batches = [tower(batch.to(device)).float().cpu() for batch in images.split(batch_size)]
    return torch.cat(batches).numpy()


def _part(parts: Path, start: int) -> Path:
    return parts / f"{start:09d}.npy"


def _save(features: np.ndarray, path: Path) -> None:
    with path.open("wb") as file:  # np.save would add .npy to a temporary name
        np.save(file, features)


def _assemble(folder: Path, parts: Path, starts: Sequence[int], hashes: Sequence[str]) -> None:
    """Joins the chunks. Where another process has done so and swept them away, there is nothing left to do."""
    target = folder / "features.npy"
    if not target.is_file():
        text = "\n".join(hashes) + "\n"
        write_atomically(folder / "images.txt", lambda path: path.write_text(text, encoding="ascii"))
        try:
            write_atomically(target, partial(_join, [_part(parts, start) for start in starts], len(hashes)))
        except FileNotFoundError:
            if not target.is_file():
                raise
    shutil.rmtree(parts, ignore_errors=True)


def _join(files: Sequence[Path], num_rows: int, path: Path) -> None:
    width = np.load(files[0], mmap_mode="r").shape[1]
    joined = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(num_rows, width))
    row = 0
    for file in files:
        chunk = np.load(file)
        joined[row : row + len(chunk)] = chunk
        row += len(chunk)
    joined.flush()
