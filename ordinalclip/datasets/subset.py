"""Less of a data set: few-shot training, a shifted distribution of the ranks, a test of high ranks only.

A subset is taken after the protocol and only leaves rows without a split, so that features of all images are shared.
"""

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd

from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError


def take_subset(
    manifest: Manifest,
    *,
    shots: int | None,
    shift_ranks: int | None,
    shift_keep: float | None,
    eval_min_rank: int | None,
    seed: int,
) -> Manifest:
    """Take images out of their splits; with nothing but nulls, none.

    Which images stay depends on the seed and their content alone, and fewer are always among more: the images of one
    shot are among those of two.

    Args:
        manifest: with its split.
        shots: training images of each rank; all of them where there are fewer.
        shift_ranks: how many ranks, the most frequent in training and of equally frequent ones the lower, are thinned.
        shift_keep: the share of their training images that they keep, rounded down, at least one image.
        eval_min_rank: val and test keep ranks from this one on.
        seed: of the draw.

    Returns:
        The manifest, the split of what is left out NA, and a note of what was done.

    Raises:
        ConfigError: for settings that do not go together, or a rank that no test image has.
    """
    if (shift_ranks is None) != (shift_keep is None):
        key, value = ("shift_ranks", shift_ranks) if shift_ranks is None else ("shift_keep", shift_keep)
        raise ConfigError(f"subset.{key}", value, "subset.shift_ranks and subset.shift_keep go together")
    if shots is not None and shift_ranks is not None:
        raise ConfigError("subset.shots", shots, "cannot go with subset.shift_ranks", allowed="one of the two")
    table, notes, kept = manifest.table, [], np.ones(len(manifest.table), dtype=bool)
    training = (table["split"] == "train").to_numpy()
    counts = np.bincount(table["rank"].to_numpy()[training], minlength=manifest.num_ranks)
    quota = counts
    if shots is not None:
        quota = np.minimum(counts, shots)
        notes.append(f"few-shot: {shots} training images a rank, {quota.sum():,} of {counts.sum():,}")
    elif shift_ranks is not None and shift_keep is not None:
        quota = _thinned(counts, shift_ranks, shift_keep)
        notes.append(
            f"shift: the {shift_ranks} most frequent ranks keep {shift_keep:.0%} of their training images, "
            f"{quota.sum():,} of {counts.sum():,} in all"
        )
    if notes:
        kept[training] = _places(table[training], seed) < quota[table["rank"].to_numpy()[training]]
    if eval_min_rank is not None:
        evaluated = table["split"].isin(["val", "test"]).to_numpy()
        low = evaluated & (table["rank"] < eval_min_rank).to_numpy()
        if not (evaluated & ~low & (table["split"] == "test").to_numpy()).any():
            highest = table["rank"][table["split"] == "test"].max()
            problem = "no test image has such a rank"
            raise ConfigError("subset.eval_min_rank", eval_min_rank, problem, allowed=f"null, 0…{highest}")
        kept &= ~low
        notes.append(f"val and test keep ranks from {manifest.rank_names[eval_min_rank]} on: {low.sum():,} images less")
    if kept.all():
        return replace(manifest, notes=(*manifest.notes, *notes))
    return replace(manifest, table=table.assign(split=table["split"].where(kept)), notes=(*manifest.notes, *notes))


def _thinned(counts: np.ndarray, num_ranks: int, keep: float) -> np.ndarray:
    """[R] how many images each rank keeps."""
    present = int((counts > 0).sum())
    if num_ranks > present:
        problem = f"only {present} ranks have training images"
        raise ConfigError("subset.shift_ranks", num_ranks, problem, allowed=f"null, 1…{present}")
    quota = counts.copy()
    for rank in np.argsort(-counts, kind="stable")[:num_ranks]:
        quota[rank] = max(int(counts[rank] * keep), 1)
    return quota


def _places(table: pd.DataFrame, seed: int) -> np.ndarray:
    """[N] the place of each image in the shuffled order of its rank, from 0."""
    words = [hashlib.sha256(f"{seed} {image}".encode()).digest() for image in table["sha256"]]
    order = pd.Series(words, table.index)
    frame = pd.DataFrame({"rank": table["rank"], "order": order, "path": table["path"]})
    return frame.sort_values(["order", "path"]).groupby("rank").cumcount().reindex(table.index).to_numpy()
