"""CLAP 2015 and 2016 (ChaLearn looking at people): faces with the age that people guessed, its mean and deviation.

2015: 4,691 faces; Escalera et al., "ChaLearn looking at people 2015: apparent age and cultural event recognition", ICCV
workshops 2015. 2016: 7,591 faces; Escalera et al., "ChaLearn looking at people and faces of the world", CVPR workshops
2016.
"""

from pathlib import Path
from typing import Literal

import pandas as pd

from ordinalclip.datasets.ages import build_ages
from ordinalclip.datasets.bad_rows import usable
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.published_labels import PARTS, read_columns, read_parts
from ordinalclip.datasets.table_files import normal_paths

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def load_clap2015(
    *,
    root: str,
    table: str = "total_2015.csv",
    images: str = "2015/{part}",
    first_age: int = 3,
    last_age: int = 85,
    outside: Literal["raise", "leave_out"] = "raise",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Load CLAP 2015. `root` has the table and the images; the manifest has the published split and `deviation`.

    Options:
        table: columns `filename`, `age`, `stdv`, `database` (train, val or test), separated by commas. MWR distributes
            it as .xlsx: save that as CSV.
        images: folder of the images; `{part}` is replaced by train, val or test.
    """
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="CLAP 2015", needs=[table])
    file = source.root / table
    rows = read_columns(file, ["filename", "age", "stdv", "database"], ["age", "stdv"])
    split = rows["database"].str.lower().map(SPLITS)
    rows = usable(
        rows.assign(split=split),
        split.isna(),
        rows["filename"].fillna("(no name)") + ": database " + rows["database"].fillna("(empty)"),
        source.notes,
        where=file,
        problem="rows are of none of the parts train, val and test",
        remedy="correct the column database",
        on_error=on_error,
    )
    folders = rows["database"].map(lambda part: images.replace("{part}", part))
    paths = normal_paths(folders + "/" + rows["filename"], file)
    labels = pd.DataFrame({"path": paths, "value": rows["age"], "deviation": rows["stdv"], "split": rows["split"]})
    return build_ages(
        source,
        labels,
        name="clap2015",
        first_age=first_age,
        last_age=last_age,
        outside=outside,
        what=f"images that {table} names",
    )


def load_clap2016(
    *,
    root: str,
    first_age: int = 0,
    last_age: int = 100,
    outside: Literal["raise", "leave_out"] = "raise",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Load CLAP 2016. `root` has `train/`, `valid/`, `test/` and `train_gt.csv`, `valid_gt.csv`, `test_gt.csv`.

    The manifest has the published split; `value` is the mean of the guesses and `deviation` theirs, in years.
    """
    needs = [need for part in PARTS for need in (f"{part}_gt.csv", f"{part}/")]
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="CLAP 2016", needs=needs)
    rows = read_parts(source, "{part}_gt.csv", "image", ["mean", "stdv"])
    labels = pd.DataFrame(
        {
            "path": rows["part"] + "/" + rows["path"],
            "value": rows["mean"],
            "deviation": rows["stdv"],
            "split": rows["split"],
        }
    )
    return build_ages(
        source,
        labels,
        name="clap2016",
        first_age=first_age,
        last_age=last_age,
        outside=outside,
        what="images that the tables name",
    )
