"""gauge: pictures of dial instruments, drawn on first use; reading one needs looking at where the needle points."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd

from ordinalclip.datasets.files import write_atomically
from ordinalclip.datasets.gauge_camera import render_gauge
from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.progress import progress
from ordinalclip.signatures import Between

# Part of the folder's name: raise it whenever the drawing changes, so that old pictures are not taken for new ones.
DRAWING = 1


def load_gauge(
    *,
    num_ranks: Annotated[int, Between(2, 101)] = 101,
    images_per_rank: Annotated[int, Between(1, None)] = 20,
    size: Annotated[int, Between(16, 1024)] = 128,
    seed: Annotated[int, Between(0, None)] = 0,
    on_error: Literal["raise", "skip"] = "raise",
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Draw what is missing, then read the pictures as any other data set.

    Fewer images are always the first of more: the folder is shared, and only grows.

    Args:
        num_ranks: readings 0…num_ranks-1.
        images_per_rank: pictures of each reading.
        size: edge of the pictures in pixels.
        seed: of the series of pictures.
        on_error: what to do about broken images.
        data_dir: the pictures go to its folder `gauge`.
        cache_dir: remembers the inspection.

    Returns:
        A manifest whose ranks are called by their readings.
    """
    root = data_dir / "gauge" / f"{num_ranks}-ranks-{size}px-seed{seed}-v{DRAWING}"
    names = [f"{index:06d}.png" for index in range(num_ranks * images_per_rank)]
    root.mkdir(parents=True, exist_ok=True)
    present = {entry.name for entry in os.scandir(root)}
    _draw(root, [index for index, name in enumerate(names) if name not in present], num_ranks, size, seed)
    return build_manifest(
        pd.DataFrame({"path": names, "rank": [index % num_ranks for index in range(len(names))]}),
        name="gauge",
        rank_names=[str(reading) for reading in range(num_ranks)],
        rank_values=range(num_ranks),
        unit="reading",
        root=root,
        cache_dir=cache_dir,
        on_error=on_error,
    )


def _draw(root: Path, indices: list[int], num_ranks: int, size: int, seed: int) -> None:
    def draw_one(index: int) -> None:
        file = root / f"{index:06d}.png"
        if file.exists():  # another process draws the same series
            return
        picture = render_gauge(seed, index, num_ranks, size)
        write_atomically(file, lambda part: picture.save(part, "PNG", compress_level=1))

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        try:
            done: Iterable[None] = pool.map(draw_one, indices)
            for _ in progress("drawing gauges", len(indices), " images", iterable=done):
                pass
        except BaseException:  # Ctrl-C must not wait for all that is queued; what is drawn stays
            pool.shutdown(cancel_futures=True)
            raise
