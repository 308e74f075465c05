"""Protocols of several folds, of which a run uses one: K-fold cross-validation and leave-one-subject-out.

Both are values of `protocol.split._target_`. They fill the manifest's `split`; `folds` also fills the column `fold`.
The folds depend on the seed only, so the runs of all folds belong together.
"""

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import pandas as pd

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.bad_rows import listed
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.splits import carve_val, draw_splits, linked_units, with_split
from ordinalclip.errors import ConfigError, DataError

_TRAIN, _VAL, _TEST = range(3)  # indices into `SPLITS`


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
    """Splits the images into K folds with every rank in proportion. Some folds test, some choose the epoch.

    Run i tests on `test_folds` folds from fold i · test_folds on and chooses on the next `val_folds`, counted round. So
    num_folds / test_folds runs test every image once.

    Args:
        manifest: its split is not used.
        num_folds: K.
        fold: number of the run, from 0.
        test_folds: number of folds that test.
        val_folds: number of folds that choose.
        val_from_train: instead of `val_folds`, the share of the training images that chooses.
        whole: "known" keeps subjects and groups whole where they are known; "subjects" also requires every image's
            subject; "nothing" draws single images, so that subjects leak.
        keep_given: whether to use the folds that came with the data, the column `fold` sorted as numbers, if any.
        seed: of the draw.

    Raises:
        ConfigError: the numbers of folds do not fit together.
        DataError: a required subject is unknown, or there are fewer units than folds.
    """
    given = manifest.table["fold"] if keep_given and "fold" in manifest.table else pd.Series(dtype="str")
    notes = []
    if given.notna().any():
        index, num_folds = _number_words(given, manifest.name)
        notes.append(f"the {num_folds} folds that came with the data are used; keep_given=false draws others")
    _check_counts(num_folds, fold, test_folds, val_folds, val_from_train)
    if given.isna().all():
        index = _draw_folds(manifest, num_folds, whole, seed)
        manifest = replace(manifest, table=manifest.table.assign(fold=pd.Series(index.astype(str), dtype="str")))
    turned = (index - fold * test_folds) % num_folds
    split = np.select([turned < test_folds, turned < test_folds + val_folds], [_TEST, _VAL], _TRAIN)
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
    """Tests on one subject and trains on all others, a share of which chooses the epoch.

    Args:
        manifest: with a subject in every row.
        fold: number of the subject, sorted by name (numbers as numbers).
        val_from_train: share of the other subjects' images that chooses; subjects stay whole.
        seed: of that draw.

    Raises:
        ConfigError: there are fewer subjects.
        DataError: the subject of an image is unknown.
    """
    _require_subjects(manifest)
    index, number = _number_words(manifest.table["subject"], manifest.name)
    if fold >= number:
        raise ConfigError("protocol.split.fold", fold, f"there are {number} subjects", allowed=f"0…{number - 1}")
    tested = with_split(manifest, np.where(index == fold, _TEST, _TRAIN))
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


def _number_words(column: pd.Series, name: str) -> tuple[np.ndarray, int]:
    """Returns the index of each row's word among the sorted words [N], and the number of words."""
    if column.isna().any():
        raise DataError(
            f"{name}: {int(column.isna().sum())} of {len(column)} rows have no {column.name}, and others have one\n"
            "  what to do: complete the column, or empty it; protocol.split.keep_given=false draws folds"
        )
    words = sorted(column.unique(), key=lambda word: (not word.isdigit(), int(word) if word.isdigit() else 0, word))
    return pd.Index(words).get_indexer(pd.Index(column)), len(words)


def _draw_folds(manifest: Manifest, num_folds: int, whole: str, seed: int) -> np.ndarray:
    if whole == "subjects":
        _require_subjects(manifest)
    unit = np.arange(len(manifest.table)) if whole == "nothing" else linked_units(manifest.table)
    if unit.max() + 1 < num_folds:
        raise DataError(
            f"{manifest.name}: {unit.max() + 1} subjects or groups cannot be split into {num_folds} folds\n"
            "  what to do: fewer folds, protocol.split.num_folds"
        )
    return draw_splits(manifest.table, unit, manifest.num_ranks, np.full(num_folds, 1 / num_folds), seed, level=True)


def _require_subjects(manifest: Manifest) -> None:
    unknown = manifest.table["subject"].isna()
    if unknown.any():
        raise DataError(
            f"{manifest.name}: the subject of {unknown.sum():,} of {len(manifest.table):,} images is unknown, and "
            f"this protocol keeps subjects apart:\n{listed(manifest.table['path'][unknown].tolist())}\n"
            "  what to do: protocol=folds keeps apart the known subjects"
        )
