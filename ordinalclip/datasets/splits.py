"""Protocols: which images train, choose and test. Each fills the manifest's `split` and draws from its own seed."""

from dataclasses import replace
from typing import Annotated

import numpy as np
import pandas as pd

from ordinalclip.datasets.assign import assign_units
from ordinalclip.datasets.columns import ALL_SPLITS
from ordinalclip.datasets.manifest import SPLITS, Manifest
from ordinalclip.datasets.offenders import refuse
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.signatures import Between


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
