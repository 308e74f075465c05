"""Protocols that split a data set: which images train, which choose the epoch, and which test.

`holdout`, `blocks` and `given` are values of `protocol.split._target_` and fill the manifest's `split`; `folds.py` has
those of several folds. `carve_val` takes a val split from the training images, `carve_calibration` a calibration split
from val.

All draws depend on a seed only. They share out whole units with every rank in proportion (`assign_units`). A unit is an
image, a block of rows, or the images that share subjects or groups (`linked_units`).
"""

from dataclasses import replace
from typing import Annotated

import numpy as np
import pandas as pd

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.datasets.manifest import ALL_SPLITS, CALIBRATION, SPLITS, Manifest
from ordinalclip.errors import ConfigError, DataError

NUM_SHUFFLES = 100  # orders of the units that `assign_units` tries
MIN_CALIBRATION = 10  # images in val and calibration each; with fewer than 9 no set covers 90 %


def holdout(
    manifest: Manifest,
    *,
    train: Annotated[float, Between(0.0, 1.0)] = 0.6,
    val: Annotated[float, Between(0.0, 1.0)] = 0.15,
    test: Annotated[float, Between(0.0, 1.0)] = 0.25,
    seed: int = 0,
    keep_given: bool = True,
    whole: bool = True,
) -> Manifest:
    """Splits at random with every rank in proportion. Known subjects and groups stay whole.

    Args:
        manifest: with or without a split.
        train: share of the images.
        val: share of the images.
        test: share of the images; the three add up to 1.
        seed: of the draw.
        keep_given: whether to use the split that came with the data, if there is one.
        whole: False draws single images, so that subjects leak, as in many published splits.

    Returns:
        The manifest with `split` filled.

    Raises:
        ConfigError: the shares do not add up to 1.
    """
    if keep_given and manifest.table["split"].notna().any():
        note = "the split that came with the data is used; protocol.split.keep_given=false draws a new one"
        manifest = given(manifest)
        return replace(manifest, notes=(*manifest.notes, note))
    fractions = _fractions(train, val, test)
    unit = linked_units(manifest.table) if whole else np.arange(len(manifest.table))
    return with_split(manifest, _draw_three(manifest, unit, fractions, seed))


def blocks(
    manifest: Manifest,
    *,
    block_size: Annotated[int, Between(1, None)] = 64,
    train: Annotated[float, Between(0.0, 1.0)] = 0.6,
    val: Annotated[float, Between(0.0, 1.0)] = 0.15,
    test: Annotated[float, Between(0.0, 1.0)] = 0.25,
    seed: int = 0,
) -> Manifest:
    """Splits by blocks of consecutive rows, for data sets whose neighboring files show the same object.

    Args:
        manifest: rows in the order in which the images were taken.
        block_size: number of rows that stay together.
        train: share of the images, as near as whole blocks allow.
        val: share of the images.
        test: share of the images; the three add up to 1.
        seed: of the draw.

    Returns:
        The manifest with `split` filled, each rank in proportion as far as whole blocks allow.

    Raises:
        ConfigError: the shares do not add up to 1, or there are fewer than three blocks.
    """
    fractions = _fractions(train, val, test)
    block = np.arange(len(manifest.table)) // block_size
    if block[-1] < 2:
        raise ConfigError(
            "protocol.split.block_size",
            block_size,
            f"{len(block)} images make {block[-1] + 1} block(s), and three splits need three",
            allowed=f"1…{max(1, len(block) // 3)}",
        )
    return with_split(manifest, _draw_three(manifest, block, fractions, seed))


def given(
    manifest: Manifest, *, val_from_train: Annotated[float, Between(0.0, 1.0)] | None = None, seed: int = 0
) -> Manifest:
    """Uses the split that came with the data.

    Args:
        manifest: with one of `ALL_SPLITS` in every row.
        val_from_train: share of the training images that becomes the val split, if the data have none. Subjects and
            groups stay whole.
        seed: of that draw.

    Raises:
        DataError: rows have no split, or another word.
    """
    split = manifest.table["split"]
    if split.isna().all():
        raise DataError(
            f"{manifest.name}: protocol=given needs a split in the data, and there is none; use protocol=holdout"
        )
    wrong = split.isna() | ~split.isin(ALL_SPLITS)
    if wrong.any():
        words = split[wrong].astype("object").fillna("(none)")
        refuse(
            manifest.name,
            [f"{path}: {word}" for path, word in zip(manifest.table["path"][wrong], words, strict=True)],
            "rows have a split other than train, val or test",
            remedy="write one of the three words into every row, or empty the column to have a split drawn",
        )
    if val_from_train is not None and not (split == "val").any():
        manifest = carve_val(manifest, val_from_train, seed, whole=True)
    return manifest


def carve_val(manifest: Manifest, share: float, seed: int, *, whole: bool) -> Manifest:
    """Moves a share of the training images to val in proportion to ranks; with `whole`, units stay whole."""
    split = manifest.table["split"].copy()
    training = np.flatnonzero(split == "train")
    table = manifest.table.iloc[training].reset_index(drop=True)
    unit = linked_units(table) if whole else np.arange(len(table))
    index = draw_splits(table, unit, manifest.num_ranks, np.array([1 - share, share]), seed)
    split.iloc[training] = np.array(SPLITS)[index]
    return replace(manifest, table=manifest.table.assign(split=split))


def carve_calibration(manifest: Manifest, share: float, *, seed: int = 0, block_size: int | None = None) -> Manifest:
    """Moves a share of the val images to the split "calibration", every rank in proportion.

    Args:
        manifest: with its split. It is returned unchanged if it has calibration images.
        share: of the val images; 0 for none.
        seed: of the draw.
        block_size: number of consecutive rows that stay together; None keeps subjects and groups whole instead.

    Returns:
        The manifest; unchanged but for a note if either part would have fewer than `MIN_CALIBRATION` images.
    """
    table = manifest.table
    rows = np.flatnonzero((table["split"] == "val").to_numpy())
    if share == 0 or len(rows) == 0 or (table["split"] == CALIBRATION).any():
        return manifest
    unit = rows // block_size if block_size is not None else linked_units(table.iloc[rows].reset_index(drop=True))
    unit = np.unique(unit, return_inverse=True)[1]
    fractions = np.array([1 - share, share])
    if unit.max() > 0:
        taken = draw_splits(table.iloc[rows], unit, manifest.num_ranks, fractions, seed) == 1
        if min(taken.sum(), len(rows) - taken.sum()) >= MIN_CALIBRATION:
            split = table["split"].copy()
            split.iloc[rows[taken]] = CALIBRATION
            return replace(manifest, table=table.assign(split=split))
    note = f"no intervals: {len(rows)} val images are too few to set {share:.0%} of them aside (protocol.calibration)"
    return replace(manifest, notes=(*manifest.notes, note))


def _fractions(train: float, val: float, test: float) -> np.ndarray:
    fractions = np.array([train, val, test], dtype=float)
    if (fractions <= 0).any() or abs(fractions.sum() - 1) > 1e-6:
        raise ConfigError(
            "protocol.split.{train,val,test}",
            f"{train:g}, {val:g}, {test:g}",
            f"the shares add up to {fractions.sum():g}",
            allowed="three shares above 0 that add up to 1, such as 0.6, 0.15, 0.25",
        )
    return fractions


def _draw_three(manifest: Manifest, unit: np.ndarray, fractions: np.ndarray, seed: int) -> np.ndarray:
    """Returns the index of the split of each row [N]; each split gets a unit if there are three or more.

    If shares alone would put all units into train, as with three large units, the largest units go to the largest
    shares, one to each split, and each other unit goes to the split that lacks most of its share.
    """
    split = draw_splits(manifest.table, unit, manifest.num_ranks, fractions, seed)
    if split.any() or unit.max() + 1 < len(fractions):
        return split
    sizes = np.bincount(unit)
    order = np.argsort(-sizes, kind="stable")
    split_of = np.empty(len(sizes), dtype=np.int64)
    split_of[order[: len(fractions)]] = np.argsort(-fractions, kind="stable")
    lacking = fractions * sizes.sum()
    for place, index in enumerate(order):
        if place >= len(fractions):
            split_of[index] = (lacking / fractions).argmax()
        lacking[split_of[index]] -= sizes[index]
    return split_of[unit]


def with_split(manifest: Manifest, split: np.ndarray) -> Manifest:
    """Returns a manifest whose split is given as index [N] into `SPLITS`."""
    words = pd.Series(np.array(SPLITS)[split], manifest.table.index, dtype="str")
    return replace(manifest, table=manifest.table.assign(split=words))


def linked_units(table: pd.DataFrame) -> np.ndarray:
    """Returns a unit number per row [N]. Rows linked by a subject or a group, directly or through others, share one."""
    unit = np.arange(len(table))
    for _ in range(len(table)):
        before = unit
        for column in ("subject", "group"):
            known = table[column].notna().to_numpy()
            if known.any():
                codes = pd.factorize(table[column][known])[0]
                least = np.full(codes.max() + 1, len(table))
                np.minimum.at(least, codes, unit[known])
                unit = unit.copy()
                unit[known] = least[codes]
        if (unit == before).all():
            break
    return np.unique(unit, return_inverse=True)[1]


def draw_splits(
    table: pd.DataFrame, unit: np.ndarray, num_ranks: int, fractions: np.ndarray, seed: int, *, level: bool = False
) -> np.ndarray:
    """Returns the index of the split of each row [N].

    Args:
        table: rows with `rank`.
        unit: unit number of each row [N]; units stay whole.
        num_ranks: R.
        fractions: share of each split [S].
        seed: of the draw.
        level: see `assign_units`.
    """
    counts = np.zeros((unit.max() + 1, num_ranks), dtype=np.int64)
    np.add.at(counts, (unit, table["rank"].to_numpy()), 1)
    return assign_units(counts, fractions, np.random.default_rng(seed), level=level)[unit]


def assign_units(
    counts: np.ndarray, fractions: np.ndarray, rng: np.random.Generator, *, level: bool = False
) -> np.ndarray:
    """Assigns units to splits with every rank in proportion.

    Units of a single image are shared out exactly, rank by rank. Larger units are placed greedily, the largest first,
    each in the split whose rank histogram comes nearest to its target; the best of many shuffled orders is used. Ranks
    with too few images for every split are counted together with their neighbors.

    Args:
        counts: number of images of each rank in each unit [U, R].
        fractions: share of each split [S]; they add up to 1.
        rng: source of the shuffles.
        level: if splits are equally near to their targets, choose the one that lacks most images instead of the first.
            This is also tried if a split would stay empty.

    Returns:
        The index of the split of each unit [U].
    """
    sizes = counts.sum(axis=1)
    if (sizes == 1).all():
        return _assign_images(counts.argmax(axis=1), fractions, rng)
    counts = _join_rare_ranks(counts, 1 / fractions.min())
    # With many units one order is enough: the small units, placed last, even out the rest.
    tries = int(np.clip(NUM_SHUFFLES * 50 // len(counts), 1, NUM_SHUFFLES))
    best, least = np.zeros(len(counts), dtype=np.int64), np.inf
    for _ in range(tries):
        order = rng.permutation(len(counts))
        order = order[np.argsort(-sizes[order], kind="stable")]
        split = _assign_greedily(counts, fractions, order, level)
        distance = _distance(counts, fractions, split)
        if distance < least:
            best, least = split, distance
    if np.isinf(least) and not level:
        return assign_units(counts, fractions, rng, level=True)
    return best


def _assign_images(rank: np.ndarray, fractions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns the split of each image [N] of rank [N], every rank in proportion up to rounding."""
    split = np.empty(len(rank), dtype=np.int64)
    placed = np.zeros(len(fractions))
    seen = 0
    for value in np.unique(rank):
        units = rng.permutation(np.flatnonzero(rank == value))
        exact = len(units) * fractions
        quota = np.floor(exact).astype(np.int64)
        seen += len(units)
        # The remainder goes to the splits that lack most images over all ranks so far.
        while quota.sum() < len(units):
            lacking = seen * fractions - placed - quota
            lacking[quota > exact] = -np.inf  # at most one above the exact share
            quota[lacking.argmax()] += 1
        placed += quota
        split[units] = np.repeat(np.arange(len(fractions)), quota)
    return split


def _join_rare_ranks(counts: np.ndarray, min_images: float) -> np.ndarray:
    """Adds up neighboring ranks until each column has `min_images`; the last column takes the rest. [U, columns]."""
    column_of, column, num_images = [], 0, 0
    for number in counts.sum(axis=0).tolist():
        column_of.append(column)
        num_images += number
        if num_images >= min_images:
            column, num_images = column + 1, 0
    column_of_R = np.minimum(column_of, max(column - 1, 0))
    joined: np.ndarray = counts @ np.eye(column_of_R.max() + 1, dtype=counts.dtype)[column_of_R]
    return joined


def _assign_greedily(counts: np.ndarray, fractions: np.ndarray, order: np.ndarray, level: bool) -> np.ndarray:
    weight = 1 / np.maximum(counts.sum(axis=0), 1)  # [R]; a rare rank counts as much as a frequent one
    lacking = np.outer(fractions, counts.sum(axis=0)).astype(float)  # [S, R]
    split = np.empty(len(counts), dtype=np.int64)
    for unit in order:
        # The change of the squared distance of each split: (lacking - n)² - lacking² = n (n - 2 lacking). Dividing by
        # the share makes splits of different size comparable.
        change = ((counts[unit] * (counts[unit] - 2 * lacking)) @ weight) / fractions
        chosen = change.argmin()
        if level:
            equal = np.flatnonzero(change <= change[chosen] + 1e-9)
            chosen = equal[(lacking[equal].sum(axis=1) / fractions[equal]).argmax()]
        split[unit] = chosen
        lacking[chosen] -= counts[unit]
    return split


def _distance(counts: np.ndarray, fractions: np.ndarray, split: np.ndarray) -> float:
    """Returns the weighted squared distance of the rank histograms from their targets; infinity if a split is empty."""
    total = counts.sum(axis=0)
    distance = 0.0
    for index, fraction in enumerate(fractions):
        missing = counts[split == index].sum(axis=0) - fraction * total
        distance += float((missing**2 / np.maximum(total, 1)).sum() / fraction)
        if not (split == index).any():
            return np.inf
    return distance
