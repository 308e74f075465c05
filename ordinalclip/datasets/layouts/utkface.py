"""UTKFace: 23,708 faces from the web, aged 0 to 116, whose labels stand in their names; in the wild, or cropped.

Zhang, Song and Qi, "Age progression/regression by conditional adversarial autoencoder", CVPR 2017. Nobody knows who
shows up twice, so that no split can keep subjects apart.
"""

from pathlib import Path
from typing import Literal

import pandas as pd

from ordinalclip.datasets.ages import build_ages
from ordinalclip.datasets.bad_rows import refuse, usable
from ordinalclip.datasets.image_files import list_images, parse_names
from ordinalclip.datasets.layout import check_list, find_root
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.published_labels import read_columns
from ordinalclip.errors import ConfigError

NAME = (
    r"(?P<value>\d{1,3})_(?P<sex>[01])_(?P<ancestry>[0-4])_(?P<taken>\d{10,})\.(?:jpg|png|jpeg)(?P<crop>\.chip\.jpg)?"
)
FORM = "<age>_<sex 0, 1>_<race 0…4>_<date and time>.jpg or .jpg.chip.jpg"
SEXES = {"0": "male", "1": "female"}
ANCESTRIES = {"0": "white", "1": "black", "2": "asian", "3": "indian", "4": "other"}
# Names that lack a part: four in the wild, three cropped, and one of these is spelled in two ways. Sex and race were
# looked at by Paplham and Franc (CVPR 2024); the age is in the name. Three more have all parts and an odd end.
MENDED = {
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
    """Read UTKFace.

    Args:
        root: folder that holds `UTKFace/` (cropped, `….jpg.chip.jpg`) or `part1/`, `part2/`, `part3/` (in the wild).
        images: which of the two forms.
        coral: folder of `UTK_train_coral.csv` and `UTK_test_coral.csv`, relative to `root` or absolute: their images,
            and their split; null for all images.
        first_age: age of the first rank.
        last_age: age of the last rank.
        outside: what to do about other ages; "leave_out" with 21 and 60 makes the subset that CORAL uses.
        obtain: where the data come from, told where they are missing.
        on_error: "raise" about names and images that cannot be used, or "skip" and note them.
        allow_outside: read images that a link leads to outside of `root`.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        The manifest, with `sex` and `ancestry`; without a split but for `coral`.

    Raises:
        ConfigError: for a folder that is not UTKFace's.
        DataError: for images that cannot be used.
    """
    needs = ["UTKFace/"] if images == "cropped" else ["part1/", "part2/", "part3/"]
    folder = find_root(root, name=f"UTKFace ({images})", needs=needs, obtain=obtain, allow_outside=allow_outside)
    notes: list[str] = []
    paths = [path for need in needs for path in list_images(folder, need, notes=notes)]
    # In the wild, two of these do not end as images do.
    odd = [f"{need}{name}" for need in needs for name in MENDED if (folder / need / name).is_file()]
    paths = sorted([*paths, *odd])
    table = parse_names([_mended(path) for path in paths], NAME, notes, root=folder, form=FORM, on_error=on_error)
    original = {_mended(path): path for path in paths}
    changed = [f"{original[path]} as {path.rpartition('/')[2]}" for path in table["path"] if original[path] != path]
    if changed:
        notes.append(f"read {len(changed)} malformed names of UTKFace: {', '.join(changed)}")
    table["path"] = table["path"].map(original)
    if coral is not None:
        for part in ("train", "test"):
            check_list(folder, f"{coral}/UTK_{part}_coral.csv", allow_outside=allow_outside)
        table = _listed_by_coral(table, folder / Path(coral).expanduser(), notes, folder, obtain, on_error)
    table = table.assign(
        raw=table["value"],
        value=table["value"].astype("float64"),
        sex=table["sex"].map(SEXES),
        ancestry=table["ancestry"].map(ANCESTRIES),
    )
    return build_ages(
        table.drop(columns=["taken", "crop"]),
        name="utkface",
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


def _listed_by_coral(
    table: pd.DataFrame, lists: Path, notes: list[str], root: Path, obtain: str, on_error: str
) -> pd.DataFrame:
    """The rows that CORAL's two lists name, with their split; both forms of an image begin alike."""
    stem = table["path"].map(_stem)
    split: dict[str, str] = {}
    for part in ("train", "test"):
        file = lists / f"UTK_{part}_coral.csv"
        if not file.is_file():
            raise ConfigError("dataset.coral", lists, f"there is no list {file}", remedy=obtain)
        rows = read_columns(file, ["filename"], [])
        named = rows["filename"].map(_stem)
        problem, remedy = "images of the list are not there", "the set seems half copied: unpack the rest"
        missing = ~named.isin(stem)
        named = usable(
            named.to_frame(), missing, named, notes, where=file, problem=problem, remedy=remedy, on_error=on_error
        )["filename"]
        refuse(
            file,
            [name for name in named if name in split],
            "images are in the other list, too",
            remedy="keep each in one of them",
        )
        split |= dict.fromkeys(named, part)
    kept = stem.isin(split)
    notes.append(f"the {int(kept.sum()):,} of {len(kept):,} images of UTKFace that CORAL's lists name")
    return table[kept].assign(split=stem[kept].map(split)).reset_index(drop=True)


def _stem(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]


def _mended(path: str) -> str:
    folder, _, name = path.rpartition("/")
    wrong = next((wrong for wrong in MENDED if name.startswith(wrong)), None)
    return path if wrong is None else f"{folder}/{MENDED[wrong]}{name.removeprefix(wrong)}"
