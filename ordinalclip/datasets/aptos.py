"""APTOS 2019, the photos of the retina of Kaggle's blindness detection competition."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ordinalclip.datasets.grades import read_grades
from ordinalclip.datasets.imagefiles import named_images
from ordinalclip.datasets.layout import find_root, require_files
from ordinalclip.datasets.manifest import Manifest, build_manifest


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
