"""Benchmark of a manifest with a million rows: reading, checking, splitting and hashing, in a separate process."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ordinalclip.bench.results import Row, Section
from ordinalclip.datasets.load import check_split
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.subset import take_subset
from ordinalclip.images.decoding import inspection_cache_file
from ordinalclip.system.files import write_atomically

NUM_ROWS = 1_000_000
SUBJECTS_PER_IMAGE = 0.2
NUM_RANKS = 100
IMAGES_PER_FOLDER = 1000
TEXT = """A table of {rows:,} images of {subjects:,} subjects in {ranks} ranks, from its CSV file to a run's id, in a
process of its own. Reading asks the file system for each image's size and time, and whether it is a link; the images
had been looked at before, which is remembered by these two. (The files are {folders:,} small images under many names.)
Peak memory is that of the process up to the end of a stage, Python and its libraries included. There is no naive mode:
the goal is 30 s and 2 GB for all but the last row."""


def measure_scale(*, quick: bool) -> Iterator[Section]:
    """Measures a synthetic manifest; yields one section.

    Args:
        quick: Use a hundredth of the rows.
    """
    number = NUM_ROWS // 100 if quick else NUM_ROWS
    with TemporaryDirectory() as folder:
        write_dataset(Path(folder), number)
        code = f"from ordinalclip.bench.scale import run_stages; run_stages({folder!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"the stages ended with {done.returncode}: {done.stderr[-2000:]}")
        rows: list[Row] = json.loads(done.stdout.splitlines()[-1])
    folders = -(-number // IMAGES_PER_FOLDER)
    text = TEXT.format(rows=number, subjects=int(number * SUBJECTS_PER_IMAGE), ranks=NUM_RANKS, folders=folders)
    yield Section("A million rows", text, rows)


def write_dataset(folder: Path, number: int) -> None:
    """Writes a table `all.csv`, its images, and a record of checked images in which each has its own hash.

    Args:
        folder: Existing folder.
        number: Number of rows.
    """
    rng = np.random.default_rng(0)
    paths, stats = [], []
    for first in range(0, number, IMAGES_PER_FOLDER):
        place = folder / f"{first // IMAGES_PER_FOLDER:04d}"
        place.mkdir()
        original = place / "000.png"
        Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(original)
        names = [f"{place.name}/{index:03d}.png" for index in range(min(IMAGES_PER_FOLDER, number - first))]
        for name in names[1:]:
            os.link(original, folder / name)  # hard links: many names, few files
        paths += names
        stats += [(original.stat().st_size, original.stat().st_mtime_ns)] * len(names)
    subjects = rng.integers(0, int(number * SUBJECTS_PER_IMAGE), number)
    ages = rng.normal(40, 15, number).round().clip(0, NUM_RANKS - 1).astype(int)
    table = pd.DataFrame({"path": paths, "value": ages, "subject": [f"s{one:06d}" for one in subjects]})
    table.to_csv(folder / "all.csv", index=False)
    seen = pd.DataFrame(stats, columns=["size", "mtime_ns"])
    seen.insert(0, "path", [f"{folder}/{path}" for path in paths])
    seen["sha256"] = [f"{one:064x}" for one in range(number)]
    write_atomically(
        inspection_cache_file(seen["path"], folder / "cache"), lambda part: seen.to_parquet(part, index=False)
    )


def run_stages(folder: str) -> None:
    """Go through what a run does with its data, and print seconds and memory of each as JSON.

    Args:
        folder: from `write_dataset`.
    """
    from ordinalclip.datasets.folds import folds
    from ordinalclip.datasets.table import load_table

    rows: list[Row] = []
    state: dict[str, Any] = {}

    def stage(what: str, do: Callable[[], Manifest | str]) -> None:
        started = time.perf_counter()
        state["is"] = do()
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kB on Linux
        rows.append({"stage": what, "seconds": seconds, "peak memory, GB": peak})

    file, cache_dir = Path(folder) / "all.csv", Path(folder) / "cache"
    options: dict[str, Any] = {"path": str(file), "data_dir": file.parent, "cache_dir": cache_dir, "allow_empty": True}
    stage("read, every image looked for", lambda: load_table(**options))
    stage("split into five folds of whole subjects", lambda: folds(state["is"], val_from_train=0.15))
    stage("checked, leakage counted", lambda: check_split(state["is"]))
    whole = state["is"]
    stage("hashed for the run's id", lambda: whole.content_hash)
    total = {"stage": "all of these", "seconds": sum(float(row["seconds"] or 0) for row in rows)}
    rows.append({**total, "peak memory, GB": rows[-1]["peak memory, GB"]})
    few: dict[str, Any] = {"shift_ranks": None, "shift_keep": None, "eval_min_rank": None, "seed": 0}
    few |= {"shots": 64, "label_noise": 0.1}
    stage("a subset of it: 64 images a rank, 10 % wrong labels", lambda: take_subset(whole, **few))
    print(json.dumps(rows))
