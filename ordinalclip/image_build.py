"""Decodes the images that the cache lacks, in chunks that survive a kill and can be shared by processes.

A chunk is a fixed slice of the sorted images; what is missing of it becomes one shard, named by what is in it, at once
in its final place. A process begins at a place of its own and passes over shards that another has written meanwhile; in
the worst case one is made twice, with the same bytes.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ordinalclip.datasets.files import sweep_drafts
from ordinalclip.image_shards import read_shard, write_shard
from ordinalclip.progress import progress
from ordinalclip.stop import check_stop

CHUNK = 256  # images a shard: seconds of work, all that a kill can cost; 50 MB at 256 pixels


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


def num_threads() -> int:
    """Threads that decode: as many as this process may use cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 16)
