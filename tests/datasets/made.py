"""Small data sets for the tests, made in a temporary folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ordinalclip.datasets.manifest import COLUMNS, Manifest


def write_image(path: Path, seed: int = 0, size: int = 6) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size=(size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_table(folder: Path, columns: Mapping[str, Sequence], name: str = "my.csv") -> Path:
    """A table and an image for each of its paths."""
    for index, path in enumerate(columns["path"]):
        write_image(folder / path, index)
    file = folder / name
    table = pd.DataFrame(dict(columns))
    if name.endswith(".parquet"):
        table.to_parquet(file)
    else:
        table.to_csv(file, index=False, sep="\t" if name.endswith(".tsv") else ",")
    return file


def make_manifest(ranks: Sequence[int], num_ranks: int | None = None, **columns: Sequence) -> Manifest:
    """A manifest without files; its hashes are those of nothing."""
    num_ranks = max(ranks) + 1 if num_ranks is None else num_ranks
    table = pd.DataFrame({"path": [f"{index}.png" for index in range(len(ranks))], "rank": list(ranks)})
    table["value"] = table["rank"].astype(float)
    for column in ("subject", "group", "split"):
        table[column] = pd.Series(columns.get(column, [None] * len(ranks)), dtype="str")
    table["sha256"] = [f"{index:064x}" for index in range(len(ranks))]
    names = tuple(str(rank) for rank in range(num_ranks))
    return Manifest("made", table[list(COLUMNS)], names, tuple(map(float, range(num_ranks))), "", Path("/nowhere"))
