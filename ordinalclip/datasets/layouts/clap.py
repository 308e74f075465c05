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
from ordinalclip.datasets.published_labels import read_columns
from ordinalclip.datasets.table_files import normal_paths

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}

PARTS = {"train": "train", "valid": "val", "test": "test"}


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
    """Read CLAP 2015.

    Args:
        root: folder of the table and the images.
        table: columns `filename`, `age`, `stdv`, `database` (train, val or test), separated by commas; MWR gives it out
            as .xlsx: save that as CSV.
        images: folder of the images; `{part}` stands for train, val or test.
        first_age: age of the first rank.
        last_age: age of the last rank.
        outside: what to do about other ages.
        obtain: where the data come from, told where they are missing.
        on_error: "raise" about images that cannot be used, or "skip" and note them.
        allow_outside: read images that a path or a link leads to outside of `root`.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        The manifest with the published split, and `deviation`, of the guesses, in years.

    Raises:
        ConfigError: for a folder that is not CLAP's.
        DataError: for a table or images that cannot be used.
    """
    folder = find_root(root, name="CLAP 2015", needs=[table], obtain=obtain, allow_outside=allow_outside)
    rows = read_columns(folder / table, ["filename", "age", "stdv", "database"], ["age", "stdv"])
    split = rows["database"].str.lower().map(SPLITS)
    notes: list[str] = []
    rows = usable(
        rows.assign(split=split),
        split.isna(),
        rows["filename"].fillna("(no name)") + ": database " + rows["database"].fillna("(empty)"),
        notes,
        where=folder / table,
        problem="rows are of none of the parts train, val and test",
        remedy="correct the column database",
        on_error=on_error,
    )
    places = [images.replace("{part}", part) for part in rows["database"]]
    paths = [f"{place}/{name}" for place, name in zip(places, rows["filename"], strict=True)]
    return build_ages(
        pd.DataFrame(
            {
                "path": normal_paths(pd.Series(paths, dtype="str"), folder / table),
                "value": rows["age"],
                "raw": rows["age"].map("{:g}".format),
                "deviation": rows["stdv"],
                "split": rows["split"],
            }
        ),
        name="clap2015",
        first_age=first_age,
        last_age=last_age,
        outside=outside,
        root=folder,
        what=f"images that {table} names",
        obtain=obtain,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
        notes=notes,
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
    """Read CLAP 2016.

    Args:
        root: folder of `train/`, `valid/`, `test/` and of `train_gt.csv`, `valid_gt.csv`, `test_gt.csv`.
        first_age: age of the first rank.
        last_age: age of the last rank.
        outside: what to do about other ages.
        obtain: where the data come from, told where they are missing.
        on_error: "raise" about images that cannot be used, or "skip" and note them.
        allow_outside: read images that a path or a link leads to outside of `root`.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        The manifest with the published split; `value` is the mean of the guesses, `deviation` theirs, in years.

    Raises:
        ConfigError: for a folder that is not CLAP's.
        DataError: for tables or images that cannot be used.
    """
    needs = [need for part in PARTS for need in (f"{part}_gt.csv", f"{part}/")]
    folder = find_root(root, name="CLAP 2016", needs=needs, obtain=obtain, allow_outside=allow_outside)
    tables = []
    for part, split in PARTS.items():
        file = folder / f"{part}_gt.csv"
        rows = read_columns(file, ["image", "mean", "stdv"], ["mean", "stdv"])
        tables.append(
            pd.DataFrame(
                {
                    "path": [f"{part}/{path}" for path in normal_paths(rows["image"], file)],
                    "value": rows["mean"],
                    "raw": rows["mean"].map("{:g}".format),
                    "deviation": rows["stdv"],
                    "split": split,
                }
            )
        )
    return build_ages(
        pd.concat(tables, ignore_index=True),
        name="clap2016",
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
