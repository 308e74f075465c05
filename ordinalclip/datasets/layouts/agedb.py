"""AgeDB: 16,488 photos of 567 famous people, aged 1 to 101; labels are in the file names.

Moschoglou et al., "AgeDB: the first manually collected, in-the-wild age database", CVPR workshops 2017.
"""

from pathlib import Path
from typing import Literal

from ordinalclip.datasets.ages import SEX, build_ages
from ordinalclip.datasets.image_files import list_images, parse_names
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest

NAME = r"\d+_(?P<subject>[^/]+)_(?P<value>\d{1,3})_(?P<sex>[mf])\.[^./]+"
FORM = "<number>_<Name>_<age>_<m|f>.jpg"


def load_agedb(
    *,
    root: str,
    first_age: int = 1,
    last_age: int = 101,
    outside: Literal["raise", "leave_out"] = "raise",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Load AgeDB. `root` has the images, in it or in a folder of it; `subject` is the person's name."""
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="AgeDB", needs=["*"])
    table = parse_names(source, list_images(source), NAME, FORM)
    table["sex"] = table["sex"].str.lower().map(SEX)
    return build_ages(source, table, name="agedb", first_age=first_age, last_age=last_age, outside=outside)
