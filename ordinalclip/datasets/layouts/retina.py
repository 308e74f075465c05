"""Photos of the retina from two Kaggle competitions on diabetic retinopathy: APTOS 2019 and EyePACS (2015).

EyePACS has both eyes of each patient.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.datasets.image_files import named_images
from ordinalclip.datasets.layout import find_root, require_files
from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.datasets.published_labels import REMEDY, read_grades


def load_aptos(
    *,
    root: str,
    labels: str = "train.csv",
    images: str = "train_images",
    rank_names: Sequence[str],
    rank_values: Sequence[float],
    unit: str = "grade",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Read the competition's training images; the grades of its test images were never published.

    Args:
        root: folder of the data set.
        labels: table in it with the columns `id_code` and `diagnosis`.
        images: folder in it with `<id_code>.png`.
        rank_names: of the five grades.
        rank_values: of the five grades.
        unit: of the values.
        obtain: where the data come from.
        on_error: "raise" about missing and broken images, or "skip" and note them.
        allow_outside: let paths lead out of the folder of the images, by symbolic links say.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        A manifest of five ranks; who an image is of is not known.

    Raises:
        ConfigError: where there is no such folder.
        DataError: for a table that cannot be used, or images that are missing.
    """
    top = find_root(root, name="APTOS 2019", needs=[labels, images], obtain=obtain, allow_outside=allow_outside)
    table = read_grades(top / labels, image="id_code", grade="diagnosis", num_ranks=len(rank_names))
    paths, _ = named_images(top, images, table["image"].tolist(), ".png")
    if on_error == "raise":
        require_files(top, paths, what=f"images that {labels} names", obtain=obtain)
    return build_manifest(
        table.assign(path=paths).drop(columns="image"),
        name="aptos",
        rank_names=rank_names,
        rank_values=rank_values,
        unit=unit,
        root=top,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
    )


def load_eyepacs(
    *,
    root: str,
    labels: str = "trainLabels.csv",
    images: str = "train",
    test_labels: str | None = None,
    test_images: str = "test",
    rank_names: Sequence[str],
    rank_values: Sequence[float],
    unit: str = "grade",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Read the competition's folders.

    Args:
        root: folder of the data set.
        labels: table in it with the columns `image` and `level`.
        images: folder in it with `<patient>_<left|right>.jpeg`.
        test_labels: the table of the competition's test images, published afterwards as retinopathy_solution.csv; they
            become the test split, all others the training split. null leaves the split to the protocol.
        test_images: folder of those.
        rank_names: of the five grades.
        rank_values: of the five grades.
        unit: of the values.
        obtain: where the data come from.
        on_error: "raise" about missing and broken images, or "skip" and note them.
        allow_outside: let paths lead out of the folder of the images, by symbolic links say.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        A manifest of five ranks; the subject is the patient, and `eye` an attribute.

    Raises:
        ConfigError: where there is no such folder.
        DataError: for tables that cannot be used, names of another form, images that are missing.
    """
    parts = [(labels, images, "train")]
    if test_labels is not None:
        parts.append((test_labels, test_images, "test"))
    top = find_root(
        root,
        name="EyePACS",
        needs=[need for part in parts for need in part[:2]],
        obtain=obtain,
        allow_outside=allow_outside,
    )
    tables = []
    for file, folder, split in parts:
        table = read_grades(top / file, image="image", grade="level", num_ranks=len(rank_names))
        named = table["image"].str.extract(r"^(?P<subject>\d+)_(?P<eye>left|right)$")
        unlike = table["image"][named["eye"].isna()].tolist()
        refuse(top / file, unlike, "images are not called <patient>_left or <patient>_right", remedy=REMEDY)
        paths, _ = named_images(top, folder, table["image"].tolist(), ".jpeg")
        if on_error == "raise":
            require_files(top, paths, what=f"images that {file} names", obtain=obtain)
        tables.append(named.assign(path=paths, rank=table["rank"], raw=table["raw"], split=split))
    table = pd.concat(tables, ignore_index=True)
    return build_manifest(
        table if test_labels is not None else table.drop(columns="split"),
        name="eyepacs",
        rank_names=rank_names,
        rank_values=rank_values,
        unit=unit,
        root=top,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
    )
