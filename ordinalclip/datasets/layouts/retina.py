"""Photos of the retina from two Kaggle competitions on diabetic retinopathy: APTOS 2019 and EyePACS (2015).

EyePACS has both eyes of each patient.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from ordinalclip.datasets.bad_rows import refuse
from ordinalclip.datasets.image_files import named_images
from ordinalclip.datasets.layout import Source, find_root
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
    """Load the training images of APTOS 2019, whose patients are unknown; grades of the test images are not published.

    Options:
        labels: table with the columns `id_code` and `diagnosis`.
        images: folder with `<id_code>.png`.
    """
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="APTOS 2019", needs=[labels, images])
    table = read_grades(source.root / labels, image="id_code", grade="diagnosis", num_ranks=len(rank_names))
    table["path"] = _find_images(source, labels, images, table.pop("image"), ".png")
    return build_manifest(
        table, name="aptos", rank_names=rank_names, rank_values=rank_values, unit=unit, **source.options
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
    """Load EyePACS: `subject` is the patient, and `eye` an attribute.

    Options:
        labels: table with the columns `image` and `level`.
        images: folder with `<patient>_<left|right>.jpeg`.
        test_labels: table of the competition's test images, published afterwards as retinopathy_solution.csv. They
            become the test split, all others the training split. null leaves the split to the protocol.
        test_images: folder of these.
    """
    parts = [(labels, images, "train")]
    if test_labels is not None:
        parts.append((test_labels, test_images, "test"))
    needs = [need for part in parts for need in part[:2]]
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="EyePACS", needs=needs)
    tables = []
    for name, folder, split in parts:
        table = read_grades(source.root / name, image="image", grade="level", num_ranks=len(rank_names))
        images_of = table.pop("image")
        named = images_of.str.extract(r"^(?P<subject>\d+)_(?P<eye>left|right)$")
        wrong = images_of[named["eye"].isna()].tolist()
        refuse(source.root / name, wrong, "images are not called <patient>_left or <patient>_right", remedy=REMEDY)
        paths = _find_images(source, name, folder, images_of, ".jpeg")
        tables.append(named.assign(path=paths, rank=table["rank"], raw=table["raw"], split=split))
    table = pd.concat(tables, ignore_index=True)
    if test_labels is None:
        table = table.drop(columns="split")
    return build_manifest(
        table, name="eyepacs", rank_names=rank_names, rank_values=rank_values, unit=unit, **source.options
    )


def _find_images(source: Source, labels: str, folder: str, images: pd.Series, suffix: str) -> list[str]:
    paths, _ = named_images(source.root, folder, images.tolist(), suffix)
    source.require(paths, f"images that {labels} names")
    return paths
