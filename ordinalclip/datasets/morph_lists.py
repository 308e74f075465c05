"""The published lists of MORPH II, settings A to D, whose letters mean other things in MWR and in L2RCLIP."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import pandas as pd

from ordinalclip.datasets.layout import check_inside
from ordinalclip.datasets.offenders import refuse
from ordinalclip.datasets.textfile import read_lines
from ordinalclip.errors import ConfigError, DataError

# Setting A: 5,492 images, random. B: three folds, white and black, one trains and two test. MWR's C, which is L2RCLIP's
# D: subject-exclusive. MWR's D, which is L2RCLIP's C: all images at random, with 96 % of the test images' subjects in
# training.
Setting = Literal["mwr_a", "mwr_b", "mwr_c", "mwr_d", "l2rclip_c", "l2rclip_d"]
FOLDS: Mapping[str, int] = {"mwr_b": 3}
REMEDY = "see whether it is the list that was published; correct these lines, or take them out"
_LINE = re.compile(r"\s*(?P<path>.*\S)\s+(?P<age>\d+)\s*")


def read_setting(folder: Path, setting: Setting, fold: int, obtain: str, *, within: Path | None = None) -> pd.DataFrame:
    """Read the lists of a setting.

    Sex and race stand in MWR's lists in codes that differ from list to list (1 is male in A and female in B), so they
    are not read; sex stands in the files' names.

    Args:
        folder: `datalist/morph` of nhshin-mcl/MWR or of raywang335/L2RCLIP.
        setting: whose numbering, and which letter of it.
        fold: what is tested; in B, what is trained on.
        obtain: where the data come from.
        within: a folder that the lists must not lead out of, by links; None where they may.

    Returns:
        `file` (the image's own name, without a folder), `value` (age), `split` ("train" or "test"); in C and D `fold`.

    Raises:
        ConfigError: for a fold that is not there.
        DataError: for a list that is missing or cannot be read.
    """
    number = FOLDS.get(setting, 5)
    if not 0 <= fold < number:
        raise ConfigError("dataset.fold", fold, f"setting {setting} has {number} folds", allowed=f"0…{number - 1}")
    found = partial(_found, folder, obtain=obtain, within=within)
    if setting == "mwr_a":
        parts = [(part, f"RS_partial/Setting_1_fold{fold}_{part}.txt") for part in ("train", "test")]
        return pd.concat([_read_columns(found(file)).assign(split=part) for part, file in parts], ignore_index=True)
    if setting == "mwr_b":
        files = [f"3_Fold_BW/Setting_2_fold{k}.txt" for k in range(number)]
        splits = ["train" if k == fold else "test" for k in range(number)]
        return pd.concat(
            [_read_columns(found(file)).assign(split=split) for file, split in zip(files, splits, strict=True)],
            ignore_index=True,
        )
    if setting.startswith("mwr"):
        file = found("SE/Setting_4.txt" if setting == "mwr_c" else "RS/Setting_3.txt")
        table = _read_columns(file)
        if "fold" not in table or not (table["fold"] == str(fold)).any():
            raise DataError(f"{file}: has no fold {fold} in a column fold; it has {', '.join(map(str, table.columns))}")
    else:
        letter = setting[-1].upper()
        files = [f"setting{letter}/morph_{letter}_{k:02d}.txt" for k in range(number)]
        table = pd.concat(
            [_read_lines(found(files[k])).assign(fold=str(k)) for k in range(number)],
            ignore_index=True,
        )
    return table.assign(split=(table["fold"] == str(fold)).map({True: "test", False: "train"}))


def _found(folder: Path, name: str, *, obtain: str, within: Path | None) -> Path:
    file = folder / name
    if within is not None:
        check_inside(within, [str(file)])
    if not file.is_file():
        raise ConfigError(
            "dataset.lists",
            folder,
            f"there is no list {file}",
            allowed="the folder datalist/morph of nhshin-mcl/MWR (settings mwr_a to mwr_d) or of raywang335/L2RCLIP "
            "(l2rclip_c, l2rclip_d; its A is MWR's)",
            remedy=obtain,
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
    refuse(
        file,
        [
            f"line {number}: {line[:80]}"
            for number, (line, row) in enumerate(zip(lines[1:], rows, strict=True), 2)
            if len(row) != width
        ],
        f"lines do not have the {width} cells of the first",
        remedy=REMEDY,
    )
    table = pd.DataFrame(rows, columns=header, dtype="str")
    kept = table[["filename", "age", *(["fold"] if "fold" in table else [])]]
    return _checked(kept.rename(columns={"filename": "file", "age": "value"}), file)


def _read_lines(file: Path) -> pd.DataFrame:
    """A list without a header: a path and an age."""
    lines = [line for line in read_lines(file) if line.strip()]
    found = [_LINE.fullmatch(line) for line in lines]
    refuse(
        file,
        [line[:80] for line, one in zip(lines, found, strict=True) if one is None],
        "lines are not a path and an age",
        remedy=REMEDY,
    )
    rows = [(one["path"], one["age"]) for one in found if one is not None]
    return _checked(pd.DataFrame(rows, columns=["file", "value"], dtype="str"), file)


def _checked(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    # The paths lead to where the list's author kept the images (../../datasets/…); only the image's own name is used.
    names = [PurePosixPath(path.replace("\\", "/")).name for path in table["file"]]
    ages = pd.to_numeric(table["value"], errors="coerce")
    told = [f"{name}: {age}" for name, age in zip(names, table["value"], strict=True)]
    refuse(
        file,
        [line for line, wrong in zip(told, ages.isna(), strict=True) if wrong],
        "ages are no numbers",
        remedy=REMEDY,
    )
    twice = pd.Series(names)[pd.Series(names).duplicated()]
    refuse(file, list(twice), "images occur more than once", remedy="keep one line for each image")
    return table.assign(file=pd.Series(names, dtype="str"), value=ages.astype("float64"))
