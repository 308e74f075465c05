"""Wrong labels in training, as many as wanted, drawn from the images' content and a seed."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd

from ordinalclip.datasets.columns import CLEAN_RANK
from ordinalclip.datasets.manifest import Manifest

NEIGHBOUR, UNIFORM = "neighbour", "uniform"


def add_noise(manifest: Manifest, share: float, kernel: str, seed: int) -> tuple[pd.DataFrame, str]:
    """Give training images a wrong rank.

    Which images, and which wrong rank, depends on the seed and their content alone; those of a smaller share are among
    those of a larger one and are wrong in the same way.

    Args:
        manifest: with its split; only rows of "train" change.
        share: the chance of an image to be given a wrong rank.
        kernel: "neighbour": one rank up or down with equal chance, inwards at the ends of the scale; "uniform": any
            other rank with equal chance.
        seed: of the draw.

    Returns:
        The table, the ranks as they were in the column `rank_before_noise`, `raw` untouched; and a note.
    """
    table, num_ranks = manifest.table, manifest.num_ranks
    training = np.flatnonzero((table["split"] == "train").to_numpy())
    images = table["sha256"].to_numpy()[training]
    noisy = training[draws(images, f"{seed} noise ") / 2.0**64 < share]
    chance = draws(table["sha256"].to_numpy()[noisy], f"{seed} wrong ") / 2.0**64
    clean = table["rank"].to_numpy()
    rank = clean.copy()
    if kernel == NEIGHBOUR:
        moved = clean[noisy] + np.where(chance < 0.5, -1, 1)
        rank[noisy] = np.where(moved < 0, 1, np.where(moved == num_ranks, num_ranks - 2, moved))
    else:
        other = (chance * (num_ranks - 1)).astype(np.int64)  # among the ranks that are not its own
        rank[noisy] = other + (other >= clean[noisy])
    value = table["value"].to_numpy().copy()
    value[noisy] = np.asarray(manifest.rank_values, dtype=float)[rank[noisy]]
    note = f"label noise: {len(noisy):,} of {len(training):,} training images have a wrong rank ({kernel})"
    return table.assign(**{CLEAN_RANK: clean, "rank": rank, "value": value}), note


def draws(images: Iterable[str], word: str) -> np.ndarray:
    """A random number of 64 bits for each image [N], from its SHA-256 and a word alone."""
    digests = b"".join(hashlib.sha256((word + image).encode()).digest()[:8] for image in images)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)
