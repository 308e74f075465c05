"""Protocols of several folds, of which a run takes one: K folds in turn, and one subject left out at a time."""

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import pandas as pd

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.bad_rows import listed
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.splits import carve_val, draw, families, with_split
from ordinalclip.errors import ConfigError, DataError

TRAIN, VAL, TEST = range(3)


def folds(
    manifest: Manifest,
    *,
    num_folds: Annotated[int, Between(2, None)] = 5,
    fold: Annotated[int, Between(0, None)] = 0,
    test_folds: Annotated[int, Between(1, None)] = 1,
    val_folds: Annotated[int, Between(0, None)] = 0,
    val_from_train: Annotated[float, Between(0.0, 1.0)] | None = None,
    whole: Literal["known", "subjects", "nothing"] = "known",
    keep_given: bool = True,
    seed: int = 0,
) -> Manifest:
    """Cut the images into K folds of every rank in proportion, and let one or more of them test, others choose.

    Run i tests on the folds i · test_folds, …, and chooses on those right behind, counted round; so there are
    num_folds / test_folds runs, in which every image is tested once. The folds depend on `seed`, never on `fold`.

    Args:
        manifest: the split that it has, if any, is not used.
        num_folds: K.
        fold: which of the runs, from 0.
        test_folds: folds that test.
        val_folds: folds that choose.
        val_from_train: in place of `val_folds`, the share of the training images that chooses.
        whole: "known": subjects and groups stay whole where they are known; "subjects": the same, but they have to be
            known for every image; "nothing": images are dealt out one by one, so that subjects leak.
        keep_given: take the folds that came with the data (column `fold`, sorted as numbers) where there are any.
        seed: of the draw.

    Raises:
        ConfigError: for numbers of folds that do not fit together.
        DataError: where subjects have to be known and are not, or there are fewer units than folds.
    """
    given = manifest.table["fold"] if keep_given and "fold" in manifest.table else pd.Series(dtype="str")
    notes = []
    if given.notna().any():
        index, num_folds = _given(given, manifest.name)
        notes.append(f"the {num_folds} folds that came with the data are used; keep_given=false draws others")
    _check_counts(num_folds, fold, test_folds, val_folds, val_from_train)
    if given.isna().all():
        index = _drawn(manifest, num_folds, whole, seed)
        manifest = replace(manifest, table=manifest.table.assign(fold=pd.Series(index.astype(str), dtype="str")))
    turned = (index - fold * test_folds) % num_folds
    split = np.select([turned < test_folds, turned < test_folds + val_folds], [TEST, VAL], TRAIN)
    manifest = with_split(manifest, split)
    if val_from_train is not None:
        manifest = carve_val(manifest, val_from_train, seed, whole=whole != "nothing")
    return replace(manifest, notes=(*manifest.notes, *notes))


def leave_one_subject_out(
    manifest: Manifest,
    *,
    fold: Annotated[int, Between(0, None)] = 0,
    val_from_train: Annotated[float, Between(0.0, 1.0)] = 0.15,
    seed: int = 0,
) -> Manifest:
    """Test on one subject and train on all others, a share of whom choose.

    Args:
        manifest: with a subject in every row.
        fold: which subject, in the order of their names (numbers as numbers).
        val_from_train: share of the others' images that choose, whole subjects.
        seed: of that draw.

    Raises:
        ConfigError: there are not that many subjects.
        DataError: subjects are not known for all images.
    """
    _need_subjects(manifest)
    index, number = _given(manifest.table["subject"], manifest.name)
    if fold >= number:
        raise ConfigError("protocol.split.fold", fold, f"there are {number} subjects", allowed=f"0…{number - 1}")
    tested = with_split(manifest, np.where(index == fold, TEST, TRAIN))
    return carve_val(tested, val_from_train, seed, whole=True)


def _check_counts(num_folds: int, fold: int, test_folds: int, val_folds: int, val_from_train: float | None) -> None:
    if (val_folds == 0) == (val_from_train is None):
        problem = "either folds choose an epoch, or a share of the training images does"
        raise ConfigError("protocol.split.val_folds", val_folds, problem, remedy="protocol.split.val_from_train=null")
    if num_folds % test_folds != 0 or test_folds + val_folds >= num_folds:
        problem = f"does not go with {num_folds} folds of which {val_folds} choose and one or more train"
        raise ConfigError("protocol.split.test_folds", test_folds, problem, allowed="a divisor of num_folds")
    runs = num_folds // test_folds
    if fold >= runs:
        raise ConfigError("protocol.split.fold", fold, f"there are {runs} runs", allowed=f"0…{runs - 1}")


def _given(column: pd.Series, name: str) -> tuple[np.ndarray, int]:
    """The place of each row's word among all words in order [N], and how many there are."""
    if column.isna().any():
        raise DataError(
            f"{name}: {int(column.isna().sum())} of {len(column)} rows have no {column.name}, and others have one\n"
            "  what to do: complete the column, or empty it; protocol.split.keep_given=false draws folds"
        )
    words = sorted(column.unique(), key=lambda word: (not word.isdigit(), int(word) if word.isdigit() else 0, word))
    return pd.Index(words).get_indexer(pd.Index(column)), len(words)


def _drawn(manifest: Manifest, num_folds: int, whole: str, seed: int) -> np.ndarray:
    if whole == "subjects":
        _need_subjects(manifest)
    unit = np.arange(len(manifest.table)) if whole == "nothing" else families(manifest.table)
    if unit.max() + 1 < num_folds:
        raise DataError(
            f"{manifest.name}: {unit.max() + 1} subjects or groups cannot be cut into {num_folds} folds\n"
            "  what to do: fewer folds, protocol.split.num_folds"
        )
    return draw(manifest.table, unit, manifest.num_ranks, np.full(num_folds, 1 / num_folds), seed, level=True)


def _need_subjects(manifest: Manifest) -> None:
    unknown = manifest.table["subject"].isna()
    if unknown.any():
        raise DataError(
            f"{manifest.name}: the subject of {unknown.sum():,} of {len(manifest.table):,} images is not known, and "
            f"this protocol keeps subjects apart:\n{listed(manifest.table['path'][unknown].tolist())}\n"
            "  what to do: protocol=folds keeps apart what is known"
        )
