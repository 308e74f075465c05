"""Subsets of a data set: few-shot training, shifted or unseen ranks, label noise, a test of high ranks only.

A subset is taken after the protocol. It sets the split of left-out rows to NA and keeps the rows, so that all subsets
share the cached images and features. Every draw depends on a seed and on the images' content alone, and smaller subsets
are nested in larger ones: the images of one shot are among those of two, the wrong labels of 10 % noise among those of
20 %.
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
    """Leaves images out of their splits and adds label noise; with only nulls, does nothing.

    Args:
        manifest: with its split.
        shots: number of training images per rank; all of a rank's images if it has fewer.
        shift_ranks: number of ranks that keep only a share of their training images.
        shift_keep: that share, rounded down, at least one image.
        eval_min_rank: lowest rank in val and test.
        seed: of the draw.
        shift_which: the most "frequent" ranks in training, the lower of equally frequent ones, or ranks at "random".
        hide_every: n; every n-th rank except the highest is left out of training and val, for interpolation.
        hide_below: ranks below this one are left out of training and val, for extrapolation.
        hide_above: ranks above this one likewise.
        label_noise: probability that a training image's rank is replaced by a wrong one.
        label_noise_kernel: "neighbour" for one rank up or down with equal probability, inwards at the ends of the
            scale; "uniform" for any other rank.

    Returns:
        The manifest, the split of left-out rows NA, with notes. The column `split_before_subset` is added if rows were
        left out, `rank_before_noise` if labels were replaced.

    Raises:
        ConfigError: settings exclude each other, or no test image has the lowest rank.
    """
    if (shift_ranks is None) != (shift_keep is None):
        key, value = ("shift_ranks", shift_ranks) if shift_ranks is None else ("shift_keep", shift_keep)
        raise ConfigError(f"subset.{key}", value, "subset.shift_ranks and subset.shift_keep go together")
    if shots is not None and shift_ranks is not None:
        raise ConfigError("subset.shots", shots, "cannot go with subset.shift_ranks", allowed="one of the two")
    table, notes = manifest.table, []
    kept, hidden = _hide_ranks(manifest, hide_every, hide_below, hide_above)
    if hidden:
        names = ", ".join(manifest.rank_names[rank] for rank in hidden[:NUM_LISTED])
        more = f" … and {len(hidden) - NUM_LISTED} more" if len(hidden) > NUM_LISTED else ""
        notes.append(f"unseen: training and val are without {len(hidden)} of {manifest.num_ranks} ranks: {names}{more}")
    training = (table["split"] == "train").to_numpy() & kept
    counts = np.bincount(table["rank"].to_numpy()[training], minlength=manifest.num_ranks)
    quota = counts
    if shots is not None:
        quota = np.minimum(counts, shots)
        notes.append(f"few-shot: {shots} training images a rank, {quota.sum():,} of {counts.sum():,}")
    elif shift_ranks is not None and shift_keep is not None:
        order = np.argsort(-counts, kind="stable")
        if shift_which == "random":
            order = np.random.default_rng([seed, 1]).permutation(np.flatnonzero(counts))
        quota = _shift_quota(counts, shift_ranks, shift_keep, order)
        which = "most frequent ranks" if shift_which == "frequent" else "ranks drawn at random"
        notes.append(
            f"shift: the {shift_ranks} {which} keep {shift_keep:.0%} of their training images, "
            f"{quota.sum():,} of {counts.sum():,} in all"
        )
    if shots is not None or shift_ranks is not None:
        kept[training] = _order_in_rank(table[training], seed) < quota[table["rank"].to_numpy()[training]]
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
        table, note = _add_label_noise(replace(manifest, table=table), label_noise, label_noise_kernel, seed)
        notes.append(note)
    return replace(manifest, table=table, notes=(*manifest.notes, *notes))


def changed_rows(manifest: Manifest) -> pd.DataFrame:
    """Returns the images that a subset left out or gave a wrong label, before and after, for the run's record."""
    table = manifest.table
    left_out, noisy = WHOLE_SPLIT in table, CLEAN_RANK in table
    changed = np.zeros(len(table), dtype=bool)
    if left_out:
        changed |= (table["split"].isna() & table[WHOLE_SPLIT].notna()).to_numpy()
    if noisy:
        changed |= (table["rank"] != table[CLEAN_RANK]).to_numpy()
    columns = [*([WHOLE_SPLIT] if left_out else []), "split", *([CLEAN_RANK] if noisy else []), "rank"]
    return table.loc[changed, ["path", "sha256", *columns]].reset_index(drop=True)


def _hide_ranks(
    manifest: Manifest, every: int | None, below: int | None, above: int | None
) -> tuple[np.ndarray, list[int]]:
    """Returns which rows stay [N], and the ranks that are hidden from training and val."""
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


def _shift_quota(counts: np.ndarray, num_ranks: int, keep: float, order: np.ndarray) -> np.ndarray:
    """Returns the number of training images that each rank keeps [R]; the first ranks in `order` keep a share."""
    present = int((counts > 0).sum())
    if num_ranks > present:
        problem = f"only {present} ranks have training images"
        raise ConfigError("subset.shift_ranks", num_ranks, problem, allowed=f"null, 1…{present}")
    quota = counts.copy()
    for rank in order[:num_ranks]:
        quota[rank] = max(int(counts[rank] * keep), 1)
    return quota


def _order_in_rank(table: pd.DataFrame, seed: int) -> np.ndarray:
    """Returns the position of each image in the shuffled order of its rank, from 0 [N]."""
    order = _draw_bits(table["sha256"], f"{seed} ")
    frame = pd.DataFrame({"rank": table["rank"], "order": order, "path": table["path"]})
    return frame.sort_values(["order", "path"]).groupby("rank").cumcount().reindex(table.index).to_numpy()


def _add_label_noise(manifest: Manifest, share: float, kernel: str, seed: int) -> tuple[pd.DataFrame, str]:
    """Returns the table with wrong ranks in training and the clean ones in `rank_before_noise`, and a note.

    `raw` is not changed. See `take_subset` for the arguments.
    """
    table, num_ranks = manifest.table, manifest.num_ranks
    training = np.flatnonzero((table["split"] == "train").to_numpy())
    images = table["sha256"].to_numpy()[training]
    noisy = training[_draw_bits(images, f"{seed} noise ") / 2.0**64 < share]
    chance = _draw_bits(table["sha256"].to_numpy()[noisy], f"{seed} wrong ") / 2.0**64
    clean = table["rank"].to_numpy()
    rank = clean.copy()
    if kernel == "neighbour":
        moved = clean[noisy] + np.where(chance < 0.5, -1, 1)
        rank[noisy] = np.where(moved < 0, 1, np.where(moved == num_ranks, num_ranks - 2, moved))
    else:
        other = (chance * (num_ranks - 1)).astype(np.int64)  # index among the wrong ranks
        rank[noisy] = other + (other >= clean[noisy])
    value = table["value"].to_numpy().copy()
    value[noisy] = np.asarray(manifest.rank_values, dtype=float)[rank[noisy]]
    note = f"label noise: {len(noisy):,} of {len(training):,} training images have a wrong rank ({kernel})"
    return table.assign(**{CLEAN_RANK: clean, "rank": rank, "value": value}), note


def _draw_bits(images: Iterable[str], word: str) -> np.ndarray:
    """Returns 64 random bits per image [N] that depend on its SHA-256 and a word alone."""
    digests = b"".join(hashlib.sha256((word + image).encode()).digest()[:8] for image in images)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)
