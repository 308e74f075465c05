"""Less of a data set: few-shot training, shifted or unseen ranks, label noise, a test of high ranks only.

A subset is taken after the protocol and only removes rows from splits, so that features of all images are shared. Label
noise is drawn from the images' content and a seed.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from ordinalclip.datasets.bad_rows import NUM_LISTED
from ordinalclip.datasets.manifest import CALIBRATION, CLEAN_RANK, WHOLE_SPLIT, Manifest
from ordinalclip.errors import ConfigError

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


def take_subset(
    manifest: Manifest,
    *,
    shots: int | None,
    shift_ranks: int | None,
    shift_keep: float | None,
    eval_min_rank: int | None,
    seed: int,
    shift_which: Literal["frequent", "random"] = "frequent",
    hide_every: int | None = None,
    hide_below: int | None = None,
    hide_above: int | None = None,
    label_noise: float | None = None,
    label_noise_kernel: Literal["neighbour", "uniform"] = "neighbour",
) -> Manifest:
    """Take images out of their splits; with nothing but nulls, none.

    Which images stay depends on the seed and their content alone, and fewer are always among more: the images of one
    shot are among those of two.

    Args:
        manifest: with its split.
        shots: training images of each rank; all of them where there are fewer.
        shift_ranks: how many ranks are thinned.
        shift_keep: the share of their training images that they keep, rounded down, at least one image.
        eval_min_rank: val and test keep ranks from this one on.
        seed: of the draw.
        shift_which: the most "frequent" ranks in training, of equally frequent ones the lower, or ranks at "random".
        hide_every: n; every n-th rank, but not the highest, is left out of training and val: to interpolate.
        hide_below: ranks below this one are left out of training and val: to extrapolate.
        hide_above: ranks above this one are.
        label_noise: share of the training images whose rank is made a wrong one; see `datasets.noise`.
        label_noise_kernel: which wrong one.

    Returns:
        The manifest, the split of what is left out NA, and a note of what was done. Where anything was left out, the
        column `split_before_subset` has the split that was; where labels were made wrong, `rank_before_noise` has the
        right ones.

    Raises:
        ConfigError: for settings that do not go together, or a rank that no test image has.
    """
    if (shift_ranks is None) != (shift_keep is None):
        key, value = ("shift_ranks", shift_ranks) if shift_ranks is None else ("shift_keep", shift_keep)
        raise ConfigError(f"subset.{key}", value, "subset.shift_ranks and subset.shift_keep go together")
    if shots is not None and shift_ranks is not None:
        raise ConfigError("subset.shots", shots, "cannot go with subset.shift_ranks", allowed="one of the two")
    table, notes = manifest.table, []
    kept, hidden = _visible(manifest, hide_every, hide_below, hide_above)
    if hidden:
        names = ", ".join(manifest.rank_names[rank] for rank in hidden[:NUM_LISTED])
        more = f" … and {len(hidden) - NUM_LISTED} more" if len(hidden) > NUM_LISTED else ""
        notes.append(f"unseen: training and val are without {len(hidden)} of {manifest.num_ranks} ranks: {names}{more}")
    training = (table["split"] == "train").to_numpy() & kept
    counts = np.bincount(table["rank"].to_numpy()[training], minlength=manifest.num_ranks)
    quota = counts
    drawn = shots is not None or shift_ranks is not None
    if shots is not None:
        quota = np.minimum(counts, shots)
        notes.append(f"few-shot: {shots} training images a rank, {quota.sum():,} of {counts.sum():,}")
    elif shift_ranks is not None and shift_keep is not None:
        order = np.argsort(-counts, kind="stable")
        if shift_which == "random":
            order = np.random.default_rng([seed, 1]).permutation(np.flatnonzero(counts))
        quota = _thinned(counts, shift_ranks, shift_keep, order)
        which = "most frequent ranks" if shift_which == "frequent" else "ranks drawn at random"
        notes.append(
            f"shift: the {shift_ranks} {which} keep {shift_keep:.0%} of their training images, "
            f"{quota.sum():,} of {counts.sum():,} in all"
        )
    if drawn:
        kept[training] = _places(table[training], seed) < quota[table["rank"].to_numpy()[training]]
    if eval_min_rank is not None:
        evaluated = table["split"].isin(["val", CALIBRATION, "test"]).to_numpy()
        low = evaluated & (table["rank"] < eval_min_rank).to_numpy()
        if not (evaluated & ~low & (table["split"] == "test").to_numpy()).any():
            highest = table["rank"][table["split"] == "test"].max()
            problem = "no test image has such a rank"
            raise ConfigError("subset.eval_min_rank", eval_min_rank, problem, allowed=f"null, 0…{highest}")
        kept &= ~low
        notes.append(f"val and test keep ranks from {manifest.rank_names[eval_min_rank]} on: {low.sum():,} images less")
    if not kept.all():
        table = table.assign(**{WHOLE_SPLIT: table["split"], "split": table["split"].where(kept)})
    if label_noise is not None and label_noise > 0:
        table, note = add_noise(replace(manifest, table=table), label_noise, label_noise_kernel, seed)
        notes.append(note)
    return replace(manifest, table=table, notes=(*manifest.notes, *notes))


def changed_rows(manifest: Manifest) -> pd.DataFrame:
    """The images that a subset left out or gave a wrong label, for the record: what they were and what they are."""
    table = manifest.table
    left_out, noisy = WHOLE_SPLIT in table, CLEAN_RANK in table
    changed = np.zeros(len(table), dtype=bool)
    if left_out:
        changed |= (table["split"].isna() & table[WHOLE_SPLIT].notna()).to_numpy()
    if noisy:
        changed |= (table["rank"] != table[CLEAN_RANK]).to_numpy()
    columns = [*([WHOLE_SPLIT] if left_out else []), "split", *([CLEAN_RANK] if noisy else []), "rank"]
    return table.loc[changed, ["path", "sha256", *columns]].reset_index(drop=True)


def _visible(
    manifest: Manifest, every: int | None, below: int | None, above: int | None
) -> tuple[np.ndarray, list[int]]:
    """Rows that stay [N], and the ranks that are hidden from training and val."""
    rank = np.arange(manifest.num_ranks)
    hidden = np.zeros(manifest.num_ranks, dtype=bool)
    if every is not None:
        hidden |= ((rank + 1) % every == 0) & (rank < manifest.num_ranks - 1)
    if below is not None:
        hidden |= rank < below
    if above is not None:
        hidden |= rank > above
    fitted = manifest.table["split"].isin(["train", "val", CALIBRATION]).to_numpy()
    return ~(fitted & hidden[manifest.table["rank"].to_numpy()]), np.flatnonzero(hidden).tolist()


def _thinned(counts: np.ndarray, num_ranks: int, keep: float, order: np.ndarray) -> np.ndarray:
    """[R] how many images each rank keeps; the first ranks in order are thinned."""
    present = int((counts > 0).sum())
    if num_ranks > present:
        problem = f"only {present} ranks have training images"
        raise ConfigError("subset.shift_ranks", num_ranks, problem, allowed=f"null, 1…{present}")
    quota = counts.copy()
    for rank in order[:num_ranks]:
        quota[rank] = max(int(counts[rank] * keep), 1)
    return quota


def _places(table: pd.DataFrame, seed: int) -> np.ndarray:
    """[N] the place of each image in the shuffled order of its rank, from 0."""
    order = draws(table["sha256"], f"{seed} ")
    frame = pd.DataFrame({"rank": table["rank"], "order": order, "path": table["path"]})
    return frame.sort_values(["order", "path"]).groupby("rank").cumcount().reindex(table.index).to_numpy()
