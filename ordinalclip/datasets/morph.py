"""MORPH II (2008, non-commercial): 55,134 police photos of 13,617 people aged 16 to 77, from its CSV.

Ricanek and Tesafaye, "MORPH: a longitudinal image database of normal adult age-progression", FGR 2006. Licensed on
request, never passed on. Its metadata contradict each other for some people; that is told, and the CSV's age is used.
"""

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import pandas as pd

from ordinalclip.datasets.ages import SEX, build_ages
from ordinalclip.datasets.imagenames import list_images, parse_names
from ordinalclip.datasets.layout import find_root
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.morph_lists import Setting, read_setting
from ordinalclip.datasets.morph_metadata import contradictions
from ordinalclip.datasets.offenders import listed
from ordinalclip.datasets.rows import usable
from ordinalclip.datasets.tablefile import normal_paths, read_table, require_columns
from ordinalclip.errors import DataError
from ordinalclip.signatures import Between

CSV = "morph_2008_nonCommercial.csv"
COLUMNS = ("id_num", "dob", "doa", "race", "gender", "age", "photo")
NAME = r"(?P<subject>[^/_]+)_(?P<picture>\d+)(?P<sex>[MF])(?P<age>\d+)\.[^./]+"
FORM = "<subject>_<picture><M|F><age>.JPG"
RACES = {"W": "white", "B": "black", "A": "asian", "H": "hispanic", "I": "indian", "O": "other"}


def load_morph(
    *,
    root: str,
    setting: Setting | None = None,
    lists: str | None = None,
    fold: Annotated[int, Between(0, 4)] = 0,
    first_age: int = 16,
    last_age: int = 77,
    outside: Literal["raise", "leave_out"] = "raise",
    obtain: str = "",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Read MORPH II: all of its CSV, without a split; or the images of a published setting, with that setting's split.

    Subjects are the first part of the files' names. A protocol keeps them whole; of the settings only `mwr_c` (which is
    `l2rclip_d`) means to, and 1.3 to 1.8 % of its test images still show a person from training.

    Args:
        root: folder of the CSV and the images; for a setting, the images suffice.
        setting: null for the CSV; else `mwr_a` … `mwr_d` (that paper's letters), `l2rclip_c`, `l2rclip_d`.
        lists: folder of the setting's lists, relative to `root` or absolute.
        fold: of the setting: the one that is tested on; in `mwr_b` the one that is trained on.
        first_age: age of the first rank.
        last_age: age of the last rank.
        outside: what to do about other ages.
        obtain: where the data come from, told where they are missing.
        on_error: "raise" about names and images that cannot be used, or "skip" and note them.
        allow_outside: read images that a path or a link leads to outside of `root`.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        The manifest, with `subject`, `sex`, and from the CSV `ancestry`, `facial_hair`, `glasses`.

    Raises:
        ConfigError: where the folder or a list is missing.
        DataError: for a table or list that cannot be used, and for images that are missing.
    """
    notes: list[str] = []
    if setting is None:
        folder = find_root(root, name="MORPH II", needs=[CSV], obtain=obtain, allow_outside=allow_outside)
        table = _read_csv(folder / CSV)
        what = f"images that {CSV} names"
    else:
        folder = find_root(root, name="MORPH II", needs=["*"], obtain=obtain, allow_outside=allow_outside)
        place = folder / Path(lists or "datalist/morph").expanduser()
        within = folder if lists is None and not allow_outside else None  # who names a folder means it
        table = _find_images(folder, read_setting(place, setting, fold, obtain, within=within), setting, notes)
        what = f"images that the lists of {setting} name"
        notes.append(f"MORPH's published setting {setting}, fold {fold}: {table['split'].value_counts().to_dict()}")
    parsed = parse_names(list(table["path"]), NAME, notes, root=folder, form=FORM, on_error=on_error)
    table = table.merge(parsed.rename(columns={"age": "name_age", "sex": "name_sex"}), on="path")
    table["raw"] = table["value"].astype("str")
    table["value"] = pd.to_numeric(table["value"], errors="coerce")
    no_age = table["value"].isna()
    told = table["path"] + ": " + table["raw"]
    remedy = "correct the column age"
    table = usable(
        table, no_age, told, notes, where=folder, problem="images have no age", remedy=remedy, on_error=on_error
    )
    notes += contradictions(table)
    if "sex" not in table:
        table["sex"] = table["name_sex"].str.lower().map(SEX)
    kept = ("path", "value", "raw", "subject", "sex", "ancestry", "facial_hair", "glasses", "split", "fold")
    return build_ages(
        table[[column for column in kept if column in table]],
        name="morph",
        first_age=first_age,
        last_age=last_age,
        outside=outside,
        root=folder,
        what=what,
        obtain=obtain,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
        notes=notes,
    )


def _read_csv(file: Path) -> pd.DataFrame:
    rows = read_table(file)
    require_columns(rows, file, COLUMNS)
    rows["path"] = normal_paths(rows["photo"].str.strip().str.replace("\\", "/"), file)
    gender = rows["gender"].str.strip().str.upper()
    race = rows["race"].str.strip().str.upper()
    return rows.rename(columns={"age": "value"}).assign(
        sex=gender.str.lower().map(SEX).astype("str"), ancestry=race.map(RACES).fillna(race), gender=gender, race=race
    )


def _find_images(folder: Path, rows: pd.DataFrame, setting: str, notes: list[str]) -> pd.DataFrame:
    """The path of each image, which the lists name without its folder."""
    paths = pd.Series(list_images(folder, notes=notes), dtype="str")
    files = paths.map(lambda path: PurePosixPath(path).name)
    wanted = files.isin(rows["file"])
    twice = paths[wanted & files.duplicated(keep=False)]
    if len(twice):
        raise DataError(
            f"{folder}: {len(twice):,} images that the lists of {setting} name lie in more than one place:\n"
            f"{listed(list(twice))}\n  what to do: name a dataset.root that holds each image once"
        )
    found = rows["file"].map(dict(zip(files[wanted], paths[wanted], strict=True)))
    return rows.assign(path=found.fillna(rows["file"]))  # a missing one stays, to be told of
