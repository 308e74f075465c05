"""CACD2000: 163,446 photos of 2,000 celebrities, aged 14 to 62, found by names and years, so that labels are noisy.

Chen, Chen and Hsu, "Cross-age reference coding for age-invariant face recognition and retrieval", ECCV 2014.
"""

from pathlib import Path
from typing import Literal

import numpy as np

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
    """Read CACD2000.

    Args:
        root: folder of `CACD2000/` (the images) and `celebrity2000_meta.mat`.
        split: `rank`, by the celebrities' rank as the set's authors say: 1 and 2 val, 3 to 5 test, those behind train;
            the images of ranks up to 5 were cleaned by hand. `none` leaves it to the protocol, celebrities whole.
        first_age: age of the first rank.
        last_age: age of the last rank.
        outside: what to do about other ages.
        obtain: where the data come from, told where they are missing.
        on_error: "raise" about images that cannot be used, or "skip" and note them.
        allow_outside: read images that a path or a link leads to outside of `root`.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        The manifest; `subject` is the celebrity's number, `popularity` the rank among those born in the same year.

    Raises:
        ConfigError: for a folder that is not CACD2000's.
        DataError: for a .mat file or images that cannot be used.
    """
    folder = find_root(root, name="CACD2000", needs=[MAT, "CACD2000/"], obtain=obtain, allow_outside=allow_outside)
    rows = read_struct(folder / MAT, "celebrityImageData", COLUMNS)
    popularity = rows["rank"].astype("int64")
    table = rows.drop(columns=["rank", "identity"]).assign(
        path="CACD2000/" + rows["name"],
        value=rows["age"],
        raw=rows["age"].map("{:g}".format),
        subject=rows["identity"].astype("int64").astype("str"),
        year=rows["year"].astype("int64"),
        popularity=popularity,
    )
    if split == "rank":
        table["split"] = np.select([popularity <= 2, popularity <= 5], ["val", "test"], "train")
    return build_ages(
        table.drop(columns=["name", "age"]),
        name="cacd",
        first_age=first_age,
        last_age=last_age,
        outside=outside,
        root=folder,
        what=f"images that {MAT} names",
        obtain=obtain,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
        notes=[],
    )
