"""Protocols: which images train, select and test. Each fills the manifest's `split` and draws from its own seed.

`assign_units` shares out whole units (images, subjects, blocks) so that each split has every rank in proportion.
`set_aside` takes part of val for calibration: these images select no epoch.
"""

from dataclasses import replace
from typing import Annotated

import numpy as np
import pandas as pd

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.datasets.manifest import ALL_SPLITS, CALIBRATION, SPLITS, Manifest
from ordinalclip.errors import ConfigError, DataError

NUM_SHUFFLES = 100

LEAST = 10  # images, of either part; with fewer than nine there is no set that covers 90 %


def assign_units(
    counts: np.ndarray, fractions: np.ndarray, rng: np.random.Generator, *, level: bool = False
) -> np.ndarray:
    """Assign units to splits.

    Units of a single image are dealt out exactly, rank by rank. Larger ones are placed one by one, the largest first,
    each where the rank histograms come nearest to their targets; of many shuffled orders the best outcome is taken.
    For that, ranks with too few images to be shared out are counted together with their neighbours.

    Args:
        counts: [U, R] images of each rank in each unit.
        fractions: [S] share of each split; they add up to 1.
        rng: source of the shuffles.
        level: where splits are equally near to their targets, take the one that lacks the most images, else the first.
            It is done in any case where a split would stay empty.

    Returns:
        [U] index of the split of each unit.
    """
    sizes = counts.sum(axis=1)
    if (sizes == 1).all():
        return _deal(counts.argmax(axis=1), fractions, rng)
    counts = _joined(counts, 1 / fractions.min())
    # Many units need no second try: the largest are placed first, and the small ones even out the rest.
    tries = int(np.clip(NUM_SHUFFLES * 50 // len(counts), 1, NUM_SHUFFLES))
    best, least = np.zeros(len(counts), dtype=np.int64), np.inf
    for _ in range(tries):
        order = rng.permutation(len(counts))
        order = order[np.argsort(-sizes[order], kind="stable")]
        split = _place(counts, fractions, order, level)
        distance = _distance(counts, fractions, split)
        if distance < least:
            best, least = split, distance
    if np.isinf(least) and not level:
        return assign_units(counts, fractions, rng, level=True)
    return best


def _joined(counts: np.ndarray, least: float) -> np.ndarray:
    """Add up neighbouring ranks until each column has so many images, the rest of them in the last [U, columns]."""
    bands, band, held = [], 0, 0
    for number in counts.sum(axis=0).tolist():
        bands.append(band)
        held += number
        if held >= least:
            band, held = band + 1, 0
    of = np.minimum(bands, max(band - 1, 0))
    joined: np.ndarray = counts @ np.eye(of.max() + 1, dtype=counts.dtype)[of]
    return joined


def _deal(rank: np.ndarray, fractions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    split = np.empty(len(rank), dtype=np.int64)
    placed = np.zeros(len(fractions))
    seen = 0
    for value in np.unique(rank):
        units = rng.permutation(np.flatnonzero(rank == value))
        exact = len(units) * fractions
        quota = np.floor(exact).astype(np.int64)
        seen += len(units)
        # What rounding leaves goes where the splits as a whole fall shortest of their share.
        while quota.sum() < len(units):
            short = seen * fractions - placed - quota
            short[quota > exact] = -np.inf  # at most one above the exact share
            quota[short.argmax()] += 1
        placed += quota
        split[units] = np.repeat(np.arange(len(fractions)), quota)
    return split


def _place(counts: np.ndarray, fractions: np.ndarray, order: np.ndarray, level: bool) -> np.ndarray:
    weight = 1 / np.maximum(counts.sum(axis=0), 1)  # [R] a rare rank counts as much as a frequent one
    lacking = np.outer(fractions, counts.sum(axis=0)).astype(float)  # [S, R] still to come
    split = np.empty(len(counts), dtype=np.int64)
    for unit in order:
        # (lacking - n)² - lacking² = n (n - 2 lacking): the change of the squared distance, for each split;
        # dividing by the share compares splits of unlike size.
        change = ((counts[unit] * (counts[unit] - 2 * lacking)) @ weight) / fractions
        chosen = change.argmin()
        if level:
            alike = np.flatnonzero(change <= change[chosen] + 1e-9)
            chosen = alike[(lacking[alike].sum(axis=1) / fractions[alike]).argmax()]
        split[unit] = chosen
        lacking[chosen] -= counts[unit]
    return split


def _distance(counts: np.ndarray, fractions: np.ndarray, split: np.ndarray) -> float:
    total = counts.sum(axis=0)
    distance = 0.0
    for index, fraction in enumerate(fractions):
        missing = counts[split == index].sum(axis=0) - fraction * total
        distance += float((missing**2 / np.maximum(total, 1)).sum() / fraction)
        if not (split == index).any():
            return np.inf
    return distance


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
    """Split at random with every rank in proportion; subjects and groups stay whole where they are known.

    Args:
        manifest: without a split, or with one that `keep_given` decides about.
        train: share of the images.
        val: share of the images.
        test: share of the images; the three add up to 1.
        seed: of the draw.
        keep_given: let a split column that came with the data stand.
        whole: false deals out single images, so that subjects leak, as in many published splits.

    Returns:
        The manifest with `split` filled.

    Raises:
        ConfigError: for shares that do not add up to 1.
    """
    if keep_given and manifest.table["split"].notna().any():
        note = "the split that came with the data is used; protocol.split.keep_given=false draws a new one"
        manifest = given(manifest)
        return replace(manifest, notes=(*manifest.notes, note))
    fractions = _fractions(train, val, test)
    unit = families(manifest.table) if whole else np.arange(len(manifest.table))
    return with_split(manifest, draw(manifest.table, unit, manifest.num_ranks, fractions, seed))


def blocks(
    manifest: Manifest,
    *,
    block_size: Annotated[int, Between(1, None)] = 64,
    train: Annotated[float, Between(0.0, 1.0)] = 0.6,
    val: Annotated[float, Between(0.0, 1.0)] = 0.15,
    test: Annotated[float, Between(0.0, 1.0)] = 0.25,
    seed: int = 0,
) -> Manifest:
    """Split by blocks of consecutive rows, for sets whose neighbouring files show the same object.

    Args:
        manifest: its rows in the order in which the images were taken.
        block_size: rows that stay together.
        train: share of the images, as near as whole blocks allow.
        val: share of the images.
        test: share of the images; the three add up to 1.
        seed: of the draw.

    Returns:
        The manifest with `split` filled, each rank in proportion as far as whole blocks allow.

    Raises:
        ConfigError: for shares that do not add up to 1, or fewer than three blocks.
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
    return with_split(manifest, draw(manifest.table, block, manifest.num_ranks, fractions, seed))


def given(
    manifest: Manifest, *, val_from_train: Annotated[float, Between(0.0, 1.0)] | None = None, seed: int = 0
) -> Manifest:
    """Take the split that came with the data.

    Args:
        manifest: with "train", "val" or "test" in every row, or "calibration", which is of val.
        val_from_train: for data that come without a val split, the share of the training images that becomes one;
            subjects and groups stay whole.
        seed: of that draw.

    Returns:
        The manifest; a note tells of it where a subject or group stands in two splits.

    Raises:
        DataError: where rows have no split, or another word than the three.
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
    """Takes a share of the training images for val, every rank in proportion; with `whole`, whole subjects."""
    split = manifest.table["split"].copy()
    training = np.flatnonzero(split == "train")
    table = manifest.table.iloc[training].reset_index(drop=True)
    unit = families(table) if whole else np.arange(len(table))
    split.iloc[training] = np.array(SPLITS)[draw(table, unit, manifest.num_ranks, np.array([1 - share, share]), seed)]
    return replace(manifest, table=manifest.table.assign(split=split))


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


def draw(
    table: pd.DataFrame, unit: np.ndarray, num_ranks: int, fractions: np.ndarray, seed: int, *, level: bool = False
) -> np.ndarray:
    """Row-wise index of the split [N], whole units [N] only; `level` as in `assign_units`."""
    counts = np.zeros((unit.max() + 1, num_ranks), dtype=np.int64)
    np.add.at(counts, (unit, table["rank"].to_numpy()), 1)
    return assign_units(counts, fractions, np.random.default_rng(seed), level=level)[unit]


def families(table: pd.DataFrame) -> np.ndarray:
    """Number rows so that those who share a subject or a group, directly or through others, share a number."""
    family = np.arange(len(table))
    for _ in range(len(table)):
        before = family
        for column in ("subject", "group"):
            known = table[column].notna().to_numpy()
            if known.any():
                codes = pd.factorize(table[column][known])[0]
                least = np.full(codes.max() + 1, len(table))
                np.minimum.at(least, codes, family[known])
                family = family.copy()
                family[known] = least[codes]
        if (family == before).all():
            break
    return np.unique(family, return_inverse=True)[1]


def with_split(manifest: Manifest, split: np.ndarray) -> Manifest:
    """A manifest with its split given by index [N] into `SPLITS`."""
    words = pd.Series(np.array(SPLITS)[split], manifest.table.index, dtype="str")
    return replace(manifest, table=manifest.table.assign(split=words))


def set_aside(manifest: Manifest, share: float, *, seed: int = 0, block_size: int | None = None) -> Manifest:
    """Turns a share of the val split into the split "calibration", every rank in proportion.

    Args:
        manifest: with its split; one that has calibration images already stays as it is.
        share: of the val images; 0 is none.
        seed: of the draw.
        block_size: consecutive rows that stay together; None: subjects and groups do.

    Returns:
        The manifest; where either part would have fewer than `LEAST` images it stays as it is, and a note says so.
    """
    table = manifest.table
    rows = np.flatnonzero((table["split"] == "val").to_numpy())
    if share == 0 or len(rows) == 0 or (table["split"] == CALIBRATION).any():
        return manifest
    unit = rows // block_size if block_size is not None else families(table.iloc[rows].reset_index(drop=True))
    unit = np.unique(unit, return_inverse=True)[1]
    fractions = np.array([1 - share, share])
    if unit.max() > 0:
        taken = draw(table.iloc[rows], unit, manifest.num_ranks, fractions, seed) == 1
        if min(taken.sum(), len(rows) - taken.sum()) >= LEAST:
            split = table["split"].copy()
            split.iloc[rows[taken]] = CALIBRATION
            return replace(manifest, table=table.assign(split=split))
    note = f"no intervals: {len(rows)} val images are too few to set {share:.0%} of them aside (protocol.calibration)"
    return replace(manifest, notes=(*manifest.notes, note))
