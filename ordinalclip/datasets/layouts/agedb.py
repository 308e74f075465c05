"""AgeDB: 16,488 photos of 567 people of note, aged 1 to 101, whose labels stand in their names.

Moschoglou et al., "AgeDB: the first manually collected, in-the-wild age database", CVPR workshops 2017.
"""

from pathlib import Path
from typing import Literal

from ordinalclip.datasets.ages import SEX, build_ages
from ordinalclip.datasets.image_files import list_images, parse_names
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest

NAME = r"(?P<number>\d+)_(?P<subject>[^/]+)_(?P<value>\d{1,3})_(?P<sex>[mf])\.[^./]+"
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
    """Read AgeDB.

    Args:
        root: folder of the images, in it or in a folder of it.
        first_age: age of the first rank.
        last_age: age of the last rank.
        outside: what to do about other ages.
        obtain: where the data come from, told where they are missing.
        on_error: "raise" about names and images that cannot be used, or "skip" and note them.
        allow_outside: read images that a link leads to outside of `root`.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        The manifest; `subject` is the person's name.

    Raises:
        ConfigError: for a folder without images.
        DataError: for images that cannot be used.
    """
    folder = find_root(root, name="AgeDB", needs=["*"], obtain=obtain, allow_outside=allow_outside)
    notes: list[str] = []
    table = parse_names(list_images(folder, notes=notes), NAME, notes, root=folder, form=FORM, on_error=on_error)
    table = table.assign(
        raw=table["value"], value=table["value"].astype("float64"), sex=table["sex"].str.lower().map(SEX)
    )
    return build_ages(
        table.drop(columns="number"),
        name="agedb",
        first_age=first_age,
        last_age=last_age,
        outside=outside,
        root=folder,
        what="images",
        obtain=obtain,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
        notes=notes,
    )
