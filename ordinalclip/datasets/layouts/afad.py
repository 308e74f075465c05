"""AFAD: 164,432 faces of Asian people from a social network, aged 15 to 75, in a folder for each age and sex.

Niu et al., "Ordinal regression with multiple output CNN for age estimation", CVPR 2016.
"""

from pathlib import Path
from typing import Literal

from ordinalclip.datasets.ages import build_ages
from ordinalclip.datasets.image_files import list_images, parse_names
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest

NAME = r"(?P<value>\d{1,3})/(?P<sex>111|112)/(?P<subject>\d+)-\d+\.[^./]+"
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
    """Load AFAD, full or lite. `root` has the folders of the ages; `subject` is the number before the dash."""
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="AFAD", needs=["[0-9][0-9]/11[12]/"])
    table = parse_names(source, list_images(source), NAME, FORM)
    table["sex"] = table["sex"].map(SEXES)
    return build_ages(source, table, name="afad", first_age=first_age, last_age=last_age, outside=outside)
