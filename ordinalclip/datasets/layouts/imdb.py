"""IMDB-WIKI and IMDB-CLEAN: photos of celebrities with ages from birth dates and photo years, for pre-training.

IMDB-WIKI: 523,051 photos; Rothe, Timofte and Van Gool, "Deep expectation of real and apparent age from a single image
without facial landmarks", IJCV 2016. Its labels are wrong too often for a test set. IMDB-CLEAN: 287,683 of these photos
whose faces were separated by clustering, with a box for each; Lin et al., "FP-Age: leveraging face parsing attention
for facial age estimation in the wild", TIP 2022.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ordinalclip.datasets.ages import build_ages
from ordinalclip.datasets.bad_rows import usable
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.published_labels import read_columns, read_struct
from ordinalclip.datasets.table_files import normal_paths

COLUMNS = ("dob", "photo_taken", "full_path", "gender", "name", "face_score", "second_face_score")
YEAR_ZERO = 366  # MATLAB counts days from the start of a year 0 of 366 days, Python from that of year 1
ONLY_PRETRAINING = "is for pre-training: labels are wrong too often for its test scores to say anything"

PARTS = {"train": "train", "valid": "val", "test": "test"}
BOX = ("x_min", "y_min", "x_max", "y_max")
SUBJECT = r"(?:^|/)nm(\d+)_rm"
SEXES = {"M": "male", "F": "female"}


def load_imdb_wiki(
    *,
    root: str,
    part: Literal["imdb", "wiki"] = "imdb",
    min_face_score: float = 1.0,
    first_age: int = 0,
    last_age: int = 100,
    outside: Literal["raise", "leave_out"] = "leave_out",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Read one of the two parts of IMDB-WIKI; the photo counts as taken on 1 July of its year.

    Args:
        root: folder of `imdb.mat` (or `wiki.mat`) and of the folders `00` … `99`, such as `imdb_crop/`.
        part: which of the two.
        min_face_score: photos whose face was found with less, or that show a second face, are left out and counted.
        first_age: age of the first rank.
        last_age: age of the last rank.
        outside: what to do about other ages, of which there are many, even below 0.
        obtain: where the data come from, told where they are missing.
        on_error: "raise" about images that cannot be used, or "skip" and note them.
        allow_outside: read images that a path or a link leads to outside of `root`.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        The manifest; `subject` is the person's name, where there is one.

    Raises:
        ConfigError: for a folder that is not IMDB-WIKI's.
        DataError: for a .mat file or images that cannot be used.
    """
    mat = f"{part}.mat"
    folder = find_root(root, name="IMDB-WIKI", needs=[mat, "[0-9][0-9]/"], obtain=obtain, allow_outside=allow_outside)
    rows = read_struct(folder / mat, part, COLUMNS)
    score = rows["face_score"]
    faceless = ~(np.isfinite(score) & (score >= min_face_score))
    second = rows["second_face_score"].notna() & ~faceless
    kept = rows[~faceless & ~second].reset_index(drop=True)
    value = ages_in_july(kept["dob"], kept["photo_taken"])
    names = kept["name"].where(kept["name"].str.len() > 0)
    notes = [f"IMDB-WIKI {ONLY_PRETRAINING}"]
    if len(kept) < len(rows):
        notes.append(
            f"left out {int(faceless.sum()):,} of {len(rows):,} photos in which no face was found with a score of "
            f"{min_face_score:g}, and {int(second.sum()):,} with a second face"
        )
    return build_ages(
        pd.DataFrame(
            {
                "path": normal_paths(kept["full_path"], folder / mat),
                "value": value,
                "raw": kept["dob"].map("{:.0f}".format) + " " + kept["photo_taken"].map("{:.0f}".format),
                "subject": names,
                "sex": kept["gender"].map({0.0: "female", 1.0: "male"}).astype("str"),
            }
        ),
        name="imdb_wiki",
        first_age=first_age,
        last_age=last_age,
        outside=outside,
        root=folder,
        what=f"images that {mat} names",
        obtain=obtain,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
        notes=notes,
    )


def ages_in_july(dob: pd.Series, year: pd.Series) -> pd.Series:
    """Ages on 1 July of a year of those born on MATLAB's day numbers; NaN for days before year 1."""
    days = dob - YEAR_ZERO - 1  # since 1 January of year 1
    known = (days >= 0).to_numpy()
    born = np.datetime64("0001-01-01", "D") + days.where(known, 0).astype("int64").to_numpy()
    years = born.astype("datetime64[Y]")
    july = (years.astype("datetime64[M]") + 6).astype("datetime64[D]")
    age = year - (years.astype("int64") + 1970) - (born > july)
    return age.where(known)


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
