"""MORPH II (2008, non-commercial): 55,134 police photos of 13,617 people aged 16 to 77.

Ricanek and Tesafaye, "MORPH: a longitudinal image database of normal adult age-progression", FGR 2006. Licensed on
request, not redistributed. Its metadata contradict each other for some people; contradictions are noted, and the CSV's
age is used. The published lists are those of settings A to D, whose letters mean other things in MWR and in L2RCLIP.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import numpy as np
import pandas as pd

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.ages import SEX, build_ages
from ordinalclip.datasets.bad_rows import listed, refuse, usable
from ordinalclip.datasets.image_files import list_images, parse_names
from ordinalclip.datasets.layout import Source, check_inside, find_root
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.table_files import normal_paths, read_lines, read_table, require_columns
from ordinalclip.errors import ConfigError, DataError

CSV = "morph_2008_nonCommercial.csv"
COLUMNS = ("id_num", "dob", "doa", "race", "gender", "age", "photo")
DATE = "%m/%d/%Y"  # of the columns dob and doa
RACES = {"W": "white", "B": "black", "A": "asian", "H": "hispanic", "I": "indian", "O": "other"}
NAME = r"(?P<subject>[^/_]+)_(?P<picture>\d+)(?P<sex>[MF])(?P<age>\d+)\.[^./]+"
FORM = "<subject>_<picture><M|F><age>.JPG"
# Setting A: 5,492 images, random. B: three folds, white and black, one trains and two test. MWR's C, which is L2RCLIP's
# D: subject-exclusive. MWR's D, which is L2RCLIP's C: all images at random, with 96 % of the test images' subjects in
# training.
Setting = Literal["mwr_a", "mwr_b", "mwr_c", "mwr_d", "l2rclip_c", "l2rclip_d"]
FOLDS: Mapping[str, int] = {"mwr_b": 3}
_LINE = re.compile(r"\s*(?P<path>.*\S)\s+(?P<age>\d+)\s*")
REMEDY = "see whether it is the list that was published; correct these lines, or take them out"


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
    """Load MORPH II: all of its CSV, without a split; or the images of a published setting, with that setting's split.

    `root` has the CSV and the images; a setting needs only the images. Subjects are the first part of the files' names.
    A protocol keeps them whole. Of the settings only `mwr_c` (which is `l2rclip_d`) is meant to, and 1.3 to 1.8 % of
    its test images still show a person from training. Attributes: `sex`, and from the CSV `ancestry`, `facial_hair` and
    `glasses`.

    Options:
        setting: null for the CSV; else `mwr_a` … `mwr_d` (that paper's letters), `l2rclip_c`, `l2rclip_d`.
        lists: folder of the setting's lists, relative to `root` or absolute.
        fold: of the setting: the one for testing; in `mwr_b` the one for training.
    """
    needs = ["*" if setting else CSV]
    source = find_root(root, cache_dir, obtain, on_error, allow_outside, name="MORPH II", needs=needs)
    if setting is None:
        table = _read_csv(source.root / CSV)
        what = f"images that {CSV} names"
    else:
        table = _find_images(source, _read_setting(source, lists, setting, fold), setting)
        what = f"images that the lists of {setting} name"
        counts = table["split"].value_counts().to_dict()
        source.notes.append(f"MORPH's published setting {setting}, fold {fold}: {counts}")
    parsed = parse_names(source, list(table["path"]), NAME, FORM)
    table = table.merge(parsed.rename(columns={"age": "name_age", "sex": "name_sex"}), on="path")
    table["raw"] = table["value"].astype("str")
    table["value"] = pd.to_numeric(table["value"], errors="coerce")
    table = usable(
        table,
        table["value"].isna(),
        table["path"] + ": " + table["raw"],
        source.notes,
        where=source.root,
        problem="images have no age",
        remedy="correct the column age",
        on_error=on_error,
    )
    source.notes.extend(_contradictions(table))
    if "sex" not in table:
        table["sex"] = table["name_sex"].str.lower().map(SEX)
    kept = ("path", "value", "raw", "subject", "sex", "ancestry", "facial_hair", "glasses", "split", "fold")
    return build_ages(
        source,
        table[[column for column in kept if column in table]],
        name="morph",
        first_age=first_age,
        last_age=last_age,
        outside=outside,
        what=what,
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


def _read_setting(source: Source, lists: str | None, setting: Setting, fold: int) -> pd.DataFrame:
    """Read the lists of a setting: `file` (an image's name without its folder), `value` (age), `split`, perhaps `fold`.

    Sex and race are not read: MWR's lists have them in codes that differ from list to list (1 is male in A and female
    in B), and sex is in the files' names.
    """
    number = FOLDS.get(setting, 5)
    if not 0 <= fold < number:
        raise ConfigError("dataset.fold", fold, f"setting {setting} has {number} folds", allowed=f"0…{number - 1}")
    find = partial(_find_list, source, lists)
    if setting == "mwr_a":
        tables = [
            _read_columns(find(f"RS_partial/Setting_1_fold{fold}_{split}.txt")).assign(split=split)
            for split in ("train", "test")
        ]
        return pd.concat(tables, ignore_index=True)
    if setting == "mwr_b":
        tables = [
            _read_columns(find(f"3_Fold_BW/Setting_2_fold{k}.txt")).assign(split="train" if k == fold else "test")
            for k in range(number)
        ]
        return pd.concat(tables, ignore_index=True)
    if setting.startswith("mwr"):
        file = find("SE/Setting_4.txt" if setting == "mwr_c" else "RS/Setting_3.txt")
        table = _read_columns(file)
        if "fold" not in table or not (table["fold"] == str(fold)).any():
            raise DataError(f"{file}: has no fold {fold} in a column fold; it has {', '.join(map(str, table.columns))}")
    else:
        letter = setting[-1].upper()
        tables = [
            _read_lines(find(f"setting{letter}/morph_{letter}_{k:02d}.txt")).assign(fold=str(k)) for k in range(number)
        ]
        table = pd.concat(tables, ignore_index=True)
    return table.assign(split=(table["fold"] == str(fold)).map({True: "test", False: "train"}))


def _find_list(source: Source, lists: str | None, name: str) -> Path:
    folder = source.root / Path(lists or "datalist/morph").expanduser()
    file = folder / name
    if lists is None:  # a folder that the user names may be anywhere
        check_inside(source.root, [str(file)], allow_outside=source.allow_outside)
    if not file.is_file():
        raise ConfigError(
            "dataset.lists",
            folder,
            f"there is no list {file}",
            allowed="the folder datalist/morph of nhshin-mcl/MWR (settings mwr_a to mwr_d) or of raywang335/L2RCLIP "
            "(l2rclip_c, l2rclip_d; its A is MWR's)",
            remedy=source.obtain,
        )
    return file


def _read_columns(file: Path) -> pd.DataFrame:
    """A list with a header, separated by tabs, commas or blanks; a first column without a name is an index."""
    lines = [line for line in read_lines(file) if line.strip()]
    mark = next((mark for mark in "\t, " if lines and mark in lines[0].strip()), None)
    header = [] if mark is None else [name.strip().strip('"') for name in lines[0].split(mark)]
    if not {"filename", "age"} <= set(header):
        raise DataError(
            f"{file}: its first line has no names filename and age separated by tabs, commas or blanks: "
            f"{lines[0][:80] if lines else '(empty)'}\n  what to do: see whether it is the list that was published"
        )
    rows = [[cell.strip().strip('"') for cell in line.split(mark)] for line in lines[1:]]
    # A row may have one cell more than the header has names: the index, whose name is left out.
    width = len(header)
    rows = [row[1:] if len(row) == width + 1 else row for row in rows]
    numbered = enumerate(zip(lines[1:], rows, strict=True), 2)
    wrong = [f"line {number}: {line[:80]}" for number, (line, row) in numbered if len(row) != width]
    refuse(file, wrong, f"lines do not have the {width} cells of the first", remedy=REMEDY)
    table = pd.DataFrame(rows, columns=header, dtype="str")
    kept = table[["filename", "age", *(["fold"] if "fold" in table else [])]]
    return _check_rows(kept.rename(columns={"filename": "file", "age": "value"}), file)


def _read_lines(file: Path) -> pd.DataFrame:
    """A list without a header: a path and an age."""
    lines = [line for line in read_lines(file) if line.strip()]
    found = [_LINE.fullmatch(line) for line in lines]
    wrong = [line[:80] for line, match in zip(lines, found, strict=True) if match is None]
    refuse(file, wrong, "lines are not a path and an age", remedy=REMEDY)
    rows = [(one["path"], one["age"]) for one in found if one is not None]
    return _check_rows(pd.DataFrame(rows, columns=["file", "value"], dtype="str"), file)


def _check_rows(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    # The paths lead to where the list's author kept the images (../../datasets/…); only the image's own name is used.
    names = [PurePosixPath(path.replace("\\", "/")).name for path in table["file"]]
    ages = pd.to_numeric(table["value"], errors="coerce")
    rows = zip(names, table["value"], ages.isna(), strict=True)
    refuse(file, [f"{name}: {age}" for name, age, wrong in rows if wrong], "ages are no numbers", remedy=REMEDY)
    twice = pd.Series(names)[pd.Series(names).duplicated()]
    refuse(file, list(twice), "images occur more than once", remedy="keep one line for each image")
    return table.assign(file=pd.Series(names, dtype="str"), value=ages.astype("float64"))


def _find_images(source: Source, rows: pd.DataFrame, setting: str) -> pd.DataFrame:
    """Find the path of each image; the lists name images without their folders."""
    paths = pd.Series(list_images(source), dtype="str")
    files = paths.map(lambda path: PurePosixPath(path).name)
    wanted = files.isin(rows["file"])
    twice = paths[wanted & files.duplicated(keep=False)]
    if len(twice):
        raise DataError(
            f"{source.root}: {len(twice):,} images that the lists of {setting} name are in more than one place:\n"
            f"{listed(list(twice))}\n  what to do: name a dataset.root that holds each image once"
        )
    found = rows["file"].map(dict(zip(files[wanted], paths[wanted], strict=True)))
    return rows.assign(path=found.fillna(rows["file"]))  # missing ones are reported with all others


def _contradictions(table: pd.DataFrame) -> list[str]:
    """A note for each kind of contradiction in the metadata, with the number of subjects or images and the first ones.

    `table` has `path`, `subject`, `value` (age), `name_age`, `name_sex` (M, F), and from the CSV, as written there,
    `id_num`, `dob`, `doa`, `race`, `gender`.
    """
    notes = []
    for column, words in (("dob", "dates of birth"), ("race", "races"), ("gender", "sexes")):
        if column in table:
            several = table.groupby("subject")[column].unique()
            several = several[several.map(len) > 1]
            lines = [f"{subject}: {', '.join(map(str, given))}" for subject, given in several.items()]
            notes += _note(lines, f"subjects have two or more {words} in the CSV")
    aged = pd.to_numeric(table["name_age"])
    notes += _compare(table, "age in their names, and the table's is used", table["value"], aged)
    if "id_num" in table:
        notes += _compare(table, "sex in their names, and the CSV's is used", table["gender"], table["name_sex"])
        numbers = table["id_num"].str.strip().str.lstrip("0")
        notes += _compare(
            table, "subject in the CSV, and the names' is used", table["subject"].str.lstrip("0"), numbers
        )
        dated = _age_by_dates(table)
        if dated.isna().any():
            notes.append(
                f"{dated.isna().sum():,} rows of MORPH's CSV have dates that are not of the form month/day/year"
            )
        known = table[dated.notna()]
        notes += _compare(known, "age by their dates, and the column age is used", known["value"], dated.dropna())
    return notes


def _compare(table: pd.DataFrame, words: str, used: pd.Series, other: pd.Series) -> list[str]:
    wrong = (used != other).to_numpy()
    rows = zip(table["path"][wrong], used[wrong], other[wrong], strict=True)
    return _note([f"{path}: {_text(one)} and {_text(two)}" for path, one, two in rows], f"images have another {words}")


def _note(lines: list[str], words: str) -> list[str]:
    return [f"MORPH's metadata: {len(lines):,} {words}:\n{listed(lines)}"] if lines else []


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _age_by_dates(table: pd.DataFrame) -> pd.Series:
    born, taken = (pd.to_datetime(table[column], format=DATE, errors="coerce") for column in ("dob", "doa"))
    before = (taken.dt.month < born.dt.month) | ((taken.dt.month == born.dt.month) & (taken.dt.day < born.dt.day))
    years = taken.dt.year - born.dt.year - before
    return pd.Series(np.where(born.isna() | taken.isna(), np.nan, years), table.index)
