"""IMDB-CLEAN: 287,683 photos of IMDB-WIKI whose faces were told apart by clustering, with a box for each; pre-training.

Lin et al., "FP-Age: leveraging face parsing attention for facial age estimation in the wild", TIP 2022.
"""

from pathlib import Path
from typing import Literal

import pandas as pd

from ordinalclip.datasets.ages import build_ages
from ordinalclip.datasets.imdb_wiki import ONLY_PRETRAINING
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.numbers import read_columns
from ordinalclip.datasets.rows import usable
from ordinalclip.datasets.tablefile import normal_paths

PARTS = {"train": "train", "valid": "val", "test": "test"}
BOX = ("x_min", "y_min", "x_max", "y_max")
SUBJECT = r"(?:^|/)nm(\d+)_rm"
SEXES = {"M": "male", "F": "female"}


def load_imdb_clean(
    *,
    root: str,
    csvs: str = "csvs",
    images: str = "data/imdb-clean-1024",
    tables: str = "imdb_{part}_new_1024.csv",
    first_age: int = 0,
    last_age: int = 100,
    outside: Literal["raise", "leave_out"] = "raise",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Read IMDB-CLEAN.

    Its train and val split share people; its test split has people of its own.

    Args:
        root: folder of the repository that gives it out, in which its scripts have run.
        csvs: folder in it of the tables.
        images: folder in it of the images that the tables' paths start from: the crops, or `data/imdb`.
        tables: their names; `{part}` stands for train, valid or test. `imdb_{part}_new.csv` goes with `data/imdb`.
        first_age: age of the first rank.
        last_age: age of the last rank.
        outside: what to do about other ages.
        obtain: where the data come from, told where they are missing.
        on_error: "raise" about images that cannot be used, or "skip" and note them.
        allow_outside: read images that a path or a link leads to outside of `root`.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        The manifest with the published split, `sex`, and the face's box in pixels, `x_min` … `y_max`. Images are read
        whole: the box is kept, not cut out.

    Raises:
        ConfigError: for a folder that is not IMDB-CLEAN's.
        DataError: for tables or images that cannot be used.
    """
    files = {part: f"{csvs}/{tables.replace('{part}', part)}" for part in PARTS}
    folder = find_root(
        root, name="IMDB-CLEAN", needs=[*files.values(), f"{images}/"], obtain=obtain, allow_outside=allow_outside
    )
    read = []
    for part, split in PARTS.items():
        file = folder / files[part]
        rows = read_columns(file, ["filename", "age", "gender", *BOX], ["age", *BOX])
        read.append(rows.assign(path=pd.Series(normal_paths(rows["filename"], file), dtype="str"), split=split))
    rows = pd.concat(read, ignore_index=True)
    notes = [f"IMDB-CLEAN {ONLY_PRETRAINING}"]
    subject = rows["path"].str.extract(SUBJECT, expand=False)
    rows = usable(
        rows.assign(subject=subject),
        subject.isna(),
        rows["path"],
        notes,
        where=folder,
        problem="images whose names are not of the form nm<person>_rm….jpg",
        remedy="take them out of the tables",
        on_error=on_error,
    )
    table = rows[["subject", "split", *BOX]].assign(
        path=f"{images.rstrip('/')}/" + rows["path"],
        value=rows["age"],
        raw=rows["age"].map("{:g}".format),
        sex=rows["gender"].str.upper().map(SEXES).astype("str"),
    )
    return build_ages(
        table,
        name="imdb_clean",
        first_age=first_age,
        last_age=last_age,
        outside=outside,
        root=folder,
        what="images that the tables name",
        obtain=obtain,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
        notes=notes,
    )
