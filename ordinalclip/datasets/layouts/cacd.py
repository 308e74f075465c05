"""CACD2000: 163,446 photos of 2,000 celebrities, aged 14 to 62, found by names and years, so that labels are noisy.

Chen, Chen and Hsu, "Cross-age reference coding for age-invariant face recognition and retrieval", ECCV 2014.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ordinalclip.datasets.ages import build_ages
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.published_labels import read_struct

MAT = "celebrity2000_meta.mat"
COLUMNS = ("name", "identity", "age", "year", "rank")


def load_cacd(
    *,
    root: str,
    split: Literal["rank", "none"] = "rank",
    first_age: int = 14,
    last_age: int = 62,
    outside: Literal["raise", "leave_out"] = "raise",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Load CACD2000. `root` has `CACD2000/` (the images) and `celebrity2000_meta.mat`.

    In the manifest, `subject` is the celebrity's number and `popularity` the rank among those born in the same year.

    Options:
        split: `rank`: by the celebrities' rank as the authors recommend, 1 and 2 val, 3 to 5 test, others train (images
            of ranks up to 5 were cleaned by hand). `none`: by the protocol, which keeps celebrities whole.
    """
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="CACD2000", needs=[MAT, "CACD2000/"])
    rows = read_struct(source.root / MAT, "celebrityImageData", COLUMNS)
    popularity = rows["rank"].astype("int64")
    table = pd.DataFrame(
        {
            "path": "CACD2000/" + rows["name"],
            "value": rows["age"],
            "year": rows["year"].astype("int64"),
            "subject": rows["identity"].astype("int64").astype("str"),
            "popularity": popularity,
        }
    )
    if split == "rank":
        table["split"] = np.select([popularity <= 2, popularity <= 5], ["val", "test"], "train")
    return build_ages(
        source,
        table,
        name="cacd",
        first_age=first_age,
        last_age=last_age,
        outside=outside,
        what=f"images that {MAT} names",
    )
