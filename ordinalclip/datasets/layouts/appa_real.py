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
from ordinalclip.datasets.published_labels import PARTS, read_parts

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
    """Load APPA-REAL. `root` has `train/`, `valid/`, `test/`, and `gt_avg_train.csv` and so on.

    The manifest has the published split, `apparent_age`, `real_age` and `num_ratings`.

    Options:
        age: the label: the mean of the guesses (then `deviation` is theirs), or the real age.
        images: the photos (`000000.jpg`), or the faces cut out of them (`000000.jpg_face.jpg`).
    """
    needs = [need for part in PARTS for need in (f"gt_avg_{part}.csv", f"{part}/")]
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="APPA-REAL", needs=needs)
    rows = read_parts(source, "gt_avg_{part}.csv", "file_name", NUMBERS)
    table = pd.DataFrame(
        {
            "path": rows["part"] + "/" + rows["path"] + ("_face.jpg" if images == "face" else ""),
            "value": rows["apparent_age_avg" if age == "apparent" else "real_age"],
            "split": rows["split"],
            "apparent_age": rows["apparent_age_avg"],
            "real_age": rows["real_age"],
            "num_ratings": rows["num_ratings"].astype("int64"),
        }
    )
    if age == "apparent":
        table["deviation"] = rows["apparent_age_std"]
    return build_ages(
        source,
        table,
        name="appa_real",
        first_age=first_age,
        last_age=last_age,
        outside=outside,
        what="images that the tables name",
    )
