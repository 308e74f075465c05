"""UTKFace: 23,708 faces from the web, aged 0 to 116; labels are in the file names; cropped or in the wild.

Zhang, Song and Qi, "Age progression/regression by conditional adversarial autoencoder", CVPR 2017. Subjects are
unknown, so no split can be subject-exclusive.
"""

from pathlib import Path
from typing import Literal

import pandas as pd

from ordinalclip.datasets.ages import build_ages
from ordinalclip.datasets.bad_rows import refuse, usable
from ordinalclip.datasets.image_files import list_images, parse_names
from ordinalclip.datasets.layout import Source, check_list, find_root
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.published_labels import read_columns
from ordinalclip.errors import ConfigError

NAME = r"(?P<value>\d{1,3})_(?P<sex>[01])_(?P<ancestry>[0-4])_\d{10,}\.(?:jpg|png|jpeg)(?:\.chip\.jpg)?"
FORM = "<age>_<sex 0, 1>_<race 0…4>_<date and time>.jpg or .jpg.chip.jpg"
SEXES = {"0": "male", "1": "female"}
ANCESTRIES = {"0": "white", "1": "black", "2": "asian", "3": "indian", "4": "other"}
# Names that lack a part: four in the wild, three cropped; one of these is spelled in two ways. Sex and race are those
# of Paplham and Franc (CVPR 2024); the age is in the name. Three more have all parts but end differently.
CORRECTED = {
    "61_1_20170109142408075.": "61_1_1_20170109142408075.",
    "61_3_20170109150557335.": "61_1_3_20170109150557335.",  # in the wild
    "61_1_20170109150557335.": "61_1_3_20170109150557335.",  # cropped
    "39_1_20170116174525125.": "39_0_1_20170116174525125.",
    "53__0_20170116184028385.": "53_1_0_20170116184028385.",
    "24_0_1_20170116220224657 .": "24_0_1_20170116220224657.",
    "44_1_4_20170116235150272.pg": "44_1_4_20170116235150272.jpg",
    "55_0_0_20170116232725357jpg": "55_0_0_20170116232725357.jpg",
}


def load_utkface(
    *,
    root: str,
    images: Literal["cropped", "wild"] = "cropped",
    coral: str | None = None,
    first_age: int = 0,
    last_age: int = 116,
    outside: Literal["raise", "leave_out"] = "raise",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Load UTKFace, with `sex` and `ancestry`, and without a split unless `coral` is given.

    `root` has `UTKFace/` (cropped, `….jpg.chip.jpg`) or `part1/`, `part2/`, `part3/` (in the wild). CORAL uses the
    subset with `outside` "leave_out" and ages 21 to 60.

    Options:
        images: `cropped` or `wild`.
        coral: folder of `UTK_train_coral.csv` and `UTK_test_coral.csv`, relative to `root` or absolute, to load their
            images and split; null for all images.
    """
    needs = ["UTKFace/"] if images == "cropped" else ["part1/", "part2/", "part3/"]
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name=f"UTKFace ({images})", needs=needs)
    paths = [path for need in needs for path in list_images(source, need)]
    # Two of the names in the wild do not end as images do.
    odd = [f"{need}{name}" for need in needs for name in CORRECTED if (source.root / need / name).is_file()]
    paths = sorted([*paths, *odd])
    original = {_corrected(path): path for path in paths}
    table = parse_names(source, [_corrected(path) for path in paths], NAME, FORM)
    changed = [f"{original[path]} as {path.rpartition('/')[2]}" for path in table["path"] if original[path] != path]
    if changed:
        source.notes.append(f"read {len(changed)} malformed names of UTKFace: {', '.join(changed)}")
    table = table.assign(
        path=table["path"].map(original), sex=table["sex"].map(SEXES), ancestry=table["ancestry"].map(ANCESTRIES)
    )
    if coral is not None:
        table = _listed_by_coral(source, table, coral)
    return build_ages(source, table, name="utkface", first_age=first_age, last_age=last_age, outside=outside)


def _listed_by_coral(source: Source, table: pd.DataFrame, coral: str) -> pd.DataFrame:
    """The rows that CORAL's two lists name, with their split; a list fits both forms of an image."""
    stem = table["path"].map(_stem)
    split: dict[str, str] = {}
    for part in ("train", "test"):
        check_list(source, f"{coral}/UTK_{part}_coral.csv")
        folder = source.root / Path(coral).expanduser()
        file = folder / f"UTK_{part}_coral.csv"
        if not file.is_file():
            raise ConfigError("dataset.coral", folder, f"there is no list {file}", remedy=source.obtain)
        rows = read_columns(file, ["filename"], [])
        names = rows["filename"].map(_stem)
        names = usable(
            names.to_frame(),
            ~names.isin(stem),
            names,
            source.notes,
            where=file,
            problem="images of the list are not there",
            remedy="the set seems half copied: unpack the rest",
            on_error=source.on_error,
        )["filename"]
        both = [name for name in names if name in split]
        refuse(file, both, "images are in the other list, too", remedy="keep each in one of them")
        split |= dict.fromkeys(names, part)
    kept = stem.isin(split)
    source.notes.append(f"the {int(kept.sum()):,} of {len(kept):,} images of UTKFace that CORAL's lists name")
    return table[kept].assign(split=stem[kept].map(split)).reset_index(drop=True)


def _stem(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]


def _corrected(path: str) -> str:
    folder, _, name = path.rpartition("/")
    wrong = next((wrong for wrong in CORRECTED if name.startswith(wrong)), None)
    return path if wrong is None else f"{folder}/{CORRECTED[wrong]}{name.removeprefix(wrong)}"
