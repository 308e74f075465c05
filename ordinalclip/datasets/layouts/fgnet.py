"""FG-NET: 1,002 photos of 82 people, aged 0 to 69, from their family albums; tested by leaving one person out.

Lanitis, Taylor and Cootes, "Toward automatic simulation of aging effects on face images", TPAMI 2002.
"""

from pathlib import Path
from typing import Literal

from ordinalclip.datasets.ages import build_ages
from ordinalclip.datasets.image_files import list_images, parse_names
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest

NAME = r"(?P<subject>\d+)A(?P<value>\d{1,2})[a-z]?\.[^./]+"
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
    """Load FG-NET. `root` has `images/`; `subject` is the person's number with three digits."""
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="FG-NET", needs=["images/"])
    table = parse_names(source, list_images(source, "images"), NAME, FORM)
    table["subject"] = table["subject"].str.lstrip("0").str.zfill(3)
    return build_ages(source, table, name="fgnet", first_age=first_age, last_age=last_age, outside=outside)
