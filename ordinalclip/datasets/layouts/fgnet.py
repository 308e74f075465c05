"""FG-NET: 1,002 photos of 82 people, aged 0 to 69, from their family albums; tested by leaving one person out.

Lanitis, Taylor and Cootes, "Toward automatic simulation of aging effects on face images", TPAMI 2002.
"""

from pathlib import Path
from typing import Literal

from ordinalclip.datasets.ages import build_ages
from ordinalclip.datasets.image_files import list_images, parse_names
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest

NAME = r"(?P<subject>\d+)A(?P<value>\d{1,2})(?P<copy>[a-z]?)\.[^./]+"
FORM = "<subject>A<age>[a…z].JPG"


def load_fgnet(
    *,
    root: str,
    first_age: int = 0,
    last_age: int = 69,
    outside: Literal["raise", "leave_out"] = "raise",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Read FG-NET.

    Args:
        root: folder of `images/`.
        first_age: age of the first rank.
        last_age: age of the last rank.
        outside: what to do about other ages.
        obtain: where the data come from, told where they are missing.
        on_error: "raise" about names and images that cannot be used, or "skip" and note them.
        allow_outside: read images that a link leads to outside of `root`.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        The manifest; `subject` is the person's number of three digits.

    Raises:
        ConfigError: for a folder that is not FG-NET's.
        DataError: for images that cannot be used.
    """
    folder = find_root(root, name="FG-NET", needs=["images/"], obtain=obtain, allow_outside=allow_outside)
    notes: list[str] = []
    paths = list_images(folder, "images", notes=notes)
    table = parse_names(paths, NAME, notes, root=folder, form=FORM, on_error=on_error)
    subject = table["subject"].str.lstrip("0").str.zfill(3)
    table = table.assign(raw=table["value"], value=table["value"].astype("float64"), subject=subject)
    return build_ages(
        table.drop(columns="copy"),
        name="fgnet",
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
