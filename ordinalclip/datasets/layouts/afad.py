"""AFAD: 164,432 faces of Asian people from a social network, aged 15 to 75, in a folder for each age and sex.

Niu et al., "Ordinal regression with multiple output CNN for age estimation", CVPR 2016.
"""

from pathlib import Path
from typing import Literal

from ordinalclip.datasets.ages import build_ages
from ordinalclip.datasets.image_files import list_images, parse_names
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest

NAME = r"(?P<value>\d{1,3})/(?P<sex>111|112)/(?P<subject>\d+)-(?P<picture>\d+)\.[^./]+"
FORM = "<age>/<111 male|112 female>/<person>-<picture>.jpg"
SEXES = {"111": "male", "112": "female"}


def load_afad(
    *,
    root: str,
    first_age: int = 15,
    last_age: int = 75,
    outside: Literal["raise", "leave_out"] = "raise",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Read AFAD, full or lite.

    Args:
        root: folder of the ages' folders, `AFAD-Full/` say.
        first_age: age of the first rank.
        last_age: age of the last rank.
        outside: what to do about other ages.
        obtain: where the data come from, told where they are missing.
        on_error: "raise" about names and images that cannot be used, or "skip" and note them.
        allow_outside: read images that a link leads to outside of `root`.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        The manifest; `subject` is the number in front of the dash, by which others keep people apart, too.

    Raises:
        ConfigError: for a folder that is not AFAD's.
        DataError: for images that cannot be used.
    """
    folder = find_root(root, name="AFAD", needs=["[0-9][0-9]/11[12]/"], obtain=obtain, allow_outside=allow_outside)
    notes: list[str] = []
    table = parse_names(list_images(folder, notes=notes), NAME, notes, root=folder, form=FORM, on_error=on_error)
    table = table.assign(raw=table["value"], value=table["value"].astype("float64"), sex=table["sex"].map(SEXES))
    return build_ages(
        table.drop(columns="picture"),
        name="afad",
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
