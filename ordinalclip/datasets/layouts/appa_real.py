"""APPA-REAL: 7,591 faces with their real age and the age that about 38 people each guessed.

Agustsson et al., "Apparent and real age estimation in still images with deep residual regressors on APPA-REAL
database", FG 2017.
"""

from pathlib import Path
from typing import Literal

import pandas as pd

from ordinalclip.datasets.ages import build_ages
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.published_labels import read_columns
from ordinalclip.datasets.table_files import normal_paths

PARTS = {"train": "train", "valid": "val", "test": "test"}
NUMBERS = ("num_ratings", "apparent_age_avg", "apparent_age_std", "real_age")


def load_appa_real(
    *,
    root: str,
    age: Literal["apparent", "real"] = "apparent",
    images: Literal["whole", "face"] = "face",
    first_age: int = 0,
    last_age: int = 100,
    outside: Literal["raise", "leave_out"] = "raise",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Read APPA-REAL.

    Args:
        root: folder of `train/`, `valid/`, `test/` and of `gt_avg_train.csv`, `gt_avg_valid.csv`, `gt_avg_test.csv`.
        age: which age is the label: the mean of the guesses, or the real one; the other is kept as an attribute.
        images: the photos (`000000.jpg`), or the faces cut out of them (`000000.jpg_face.jpg`).
        first_age: age of the first rank.
        last_age: age of the last rank.
        outside: what to do about other ages.
        obtain: where the data come from, told where they are missing.
        on_error: "raise" about images that cannot be used, or "skip" and note them.
        allow_outside: read images that a path or a link leads to outside of `root`.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        The manifest with the published split, `apparent_age`, `real_age`, `num_ratings`; with `age=apparent` also
        `deviation`, of the guesses.

    Raises:
        ConfigError: for a folder that is not APPA-REAL's.
        DataError: for tables or images that cannot be used.
    """
    needs = [need for part in PARTS for need in (f"gt_avg_{part}.csv", f"{part}/")]
    folder = find_root(root, name="APPA-REAL", needs=needs, obtain=obtain, allow_outside=allow_outside)
    ending = "_face.jpg" if images == "face" else ""
    tables = []
    for part, split in PARTS.items():
        file = folder / f"gt_avg_{part}.csv"
        rows = read_columns(file, ["file_name", *NUMBERS], NUMBERS)
        paths = [f"{part}/{path}{ending}" for path in normal_paths(rows["file_name"], file)]
        tables.append(rows.assign(path=pd.Series(paths, dtype="str"), split=split))
    rows = pd.concat(tables, ignore_index=True)
    value = rows["apparent_age_avg"] if age == "apparent" else rows["real_age"]
    table = pd.DataFrame(
        {
            "path": rows["path"],
            "value": value,
            "raw": value.map("{:g}".format),
            "split": rows["split"],
            "apparent_age": rows["apparent_age_avg"],
            "real_age": rows["real_age"],
            "num_ratings": rows["num_ratings"].astype("int64"),
        }
    )
    if age == "apparent":
        table["deviation"] = rows["apparent_age_std"]
    return build_ages(
        table,
        name="appa_real",
        first_age=first_age,
        last_age=last_age,
        outside=outside,
        root=folder,
        what="images that the tables name",
        obtain=obtain,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
        notes=[],
    )
