"""Benchmark of the training data path: decoding image files against reading cached pixels."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from ordinalclip.bench.measure import alternate
from ordinalclip.bench.naive import BATCH_SIZE, write_images
from ordinalclip.bench.results import Row, Section
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.images.cache import ImageSource, load_images
from ordinalclip.images.preprocessing import Geometry, Preprocessing
from ordinalclip.training.batches import EpochSampler, ImageRows

TEXT = """Shuffled training batches of 32 with random crops and flips, as tensors of 3 × 224 × 224 for the tower, in one
process. *Cold*, the naive way, decodes and resizes a file whenever it is asked for; *warm* reads pixels that were
decoded once, in the seconds given as *stored once*, and crops and flips the batch. Both give the same bits."""


def measure_images(*, quick: bool) -> Iterator[Section]:
    """Measures the data path; yields the rows so far after each kind of file.

    Args:
        quick: Use few images and one round.
    """
    number, rounds = (64, 1) if quick else (512, 3)
    rows: list[Row] = []
    for kind, side in (("png", 300), ("jpg", 1000)):
        with TemporaryDirectory() as folder:
            rows.append(measure_files(Path(folder), number, side, kind, rounds))
        yield Section("Data path", TEXT, list(rows))


def measure_files(folder: Path, number: int, side: int, kind: str, rounds: int) -> Row:
    """Returns one row.

    Args:
        folder: Working folder.
        number: Number of images.
        side: Width and height of their files in pixels.
        kind: File extension.
        rounds: Timed calls of each way.
    """
    paths = write_images(folder / "files", number, side=side, kind=kind)
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    table = pd.DataFrame({"path": [path.name for path in paths], "rank": 0, "sha256": hashes})
    manifest = Manifest("made", table, ("0",), (0.0,), "", folder / "files")
    geometry = Geometry(Preprocessing(224, (0.5,) * 3, (0.5,) * 3, "bicubic", "squash"), augmented=True)
    every = np.arange(number)
    stored: list[ImageSource] = []

    def store() -> None:
        stored.append(load_images(manifest, every, geometry, cache_dir=folder / "cache"))

    once = alternate({"store": store}, 1)["store"]
    cold, warm = _epoch(ImageSource(paths, geometry), every), _epoch(stored[0], every)
    warm()  # warm-up, which reads the disk
    seconds = alternate({"cold": cold, "warm": warm}, rounds)
    return {
        "files": f"{side} × {side} {kind}",
        "stored once, s": once,
        "cold, images/s": number / seconds["cold"],
        "warm, images/s": number / seconds["warm"],
        "times faster": seconds["cold"] / seconds["warm"],
    }


def _epoch(source: ImageSource, rows: np.ndarray) -> Callable[[], None]:
    images = ImageRows(source, rows, np.zeros(len(rows), dtype=np.int64), augment_seed=0)

    def run() -> None:
        for keys in EpochSampler(len(rows), BATCH_SIZE, seed=0):
            images.__getitems__(keys)

    return run
