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
from ordinalclip.datasets.published_labels import PARTS, read_parts, read_struct
from ordinalclip.datasets.table_files import normal_paths

COLUMNS = ("dob", "photo_taken", "full_path", "gender", "name", "face_score", "second_face_score")
YEAR_ZERO = 366  # MATLAB counts days from the start of a year 0 of 366 days, Python from that of year 1
ONLY_PRETRAINING = "is for pre-training: labels are wrong too often for its test scores to say anything"

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
    """Load one of the two parts of IMDB-WIKI; a photo counts as taken on 1 July of its year.

    `root` has `imdb.mat` (or `wiki.mat`) and the folders `00` … `99`, such as `imdb_crop/`. There are many ages outside
    any range, even below 0. In the manifest, `subject` is the person's name, if known.

    Options:
        part: `imdb` or `wiki`.
        min_face_score: photos whose face was detected with a lower score, or that show a second face, are left out and
            counted in a note.
    """
    mat = f"{part}.mat"
    needs = [mat, "[0-9][0-9]/"]
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="IMDB-WIKI", needs=needs)
    rows = read_struct(source.root / mat, part, COLUMNS)
    score = rows["face_score"]
    faceless = ~(np.isfinite(score) & (score >= min_face_score))
    second = rows["second_face_score"].notna() & ~faceless
    kept = rows[~faceless & ~second].reset_index(drop=True)
    source.notes.append(f"IMDB-WIKI {ONLY_PRETRAINING}")
    if len(kept) < len(rows):
        source.notes.append(
            f"left out {int(faceless.sum()):,} of {len(rows):,} photos in which no face was found with a score of "
            f"{min_face_score:g}, and {int(second.sum()):,} with a second face"
        )
    table = pd.DataFrame(
        {
            "path": normal_paths(kept["full_path"], source.root / mat),
            "value": ages_in_july(kept["dob"], kept["photo_taken"]),
            "raw": kept["dob"].map("{:.0f}".format) + " " + kept["photo_taken"].map("{:.0f}".format),
            "subject": kept["name"].where(kept["name"].str.len() > 0),
            "sex": kept["gender"].map({0.0: "female", 1.0: "male"}).astype("str"),
        }
    )
    return build_ages(
        source,
        table,
        name="imdb_wiki",
        first_age=first_age,
        last_age=last_age,
        outside=outside,
        what=f"images that {mat} names",
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
    """Load IMDB-CLEAN. Its train and val split share people; its test split does not.

    `root` is the repository that distributes it, after its scripts were run. The manifest has the published split,
    `sex`, and the face's box in pixels, `x_min` … `y_max`, which is not cut out.

    Options:
        csvs: folder of the tables.
        images: folder that the tables' paths are relative to: the crops, or `data/imdb`.
        tables: their names; `{part}` is replaced by train, valid or test. `imdb_{part}_new.csv` goes with `data/imdb`.
    """
    file = f"{csvs}/{tables}"
    needs = [*(file.replace("{part}", part) for part in PARTS), f"{images}/"]
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="IMDB-CLEAN", needs=needs)
    source.notes.append(f"IMDB-CLEAN {ONLY_PRETRAINING}")
    rows = read_parts(source, file, "filename", ["age", *BOX], texts=["gender"])
    rows["subject"] = rows["path"].str.extract(SUBJECT, expand=False)
    rows = usable(
        rows,
        rows["subject"].isna(),
        rows["path"],
        source.notes,
        where=source.root,
        problem="images whose names are not of the form nm<person>_rm….jpg",
        remedy="take them out of the tables",
        on_error=on_error,
    )
    table = rows[["subject", "split", *BOX]].assign(
        path=f"{images.rstrip('/')}/" + rows["path"],
        value=rows["age"],
        sex=rows["gender"].str.upper().map(SEXES).astype("str"),
    )
    return build_ages(
        source,
        table,
        name="imdb_clean",
        first_age=first_age,
        last_age=last_age,
        outside=outside,
        what="images that the tables name",
    )
