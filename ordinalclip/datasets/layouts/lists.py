"""List files of published protocols: `relative/path label [label …]`, one file a split."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.bad_rows import NUM_LISTED
from ordinalclip.datasets.image_files import subjects_of
from ordinalclip.datasets.layout import check_list, require_files
from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.datasets.table_files import read_list
from ordinalclip.errors import ConfigError, DataError


def load_lists(
    *,
    root: str,
    train: str,
    val: str | None,
    test: str,
    images: str = ".",
    num_ranks: Annotated[int, Between(2, None)],
    rank_names: Sequence[str] | None = None,
    rank_values: Sequence[float] | None = None,
    unit: str = "",
    subject: str | None = None,
    fold: Annotated[int, Between(0, None)] | None = None,
    part: str | None = None,
    obtain: str = "",
    select_on: Literal["val", "test"] = "val",
    on_error: Literal["raise", "skip"] = "raise",
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Read the lists of a published protocol; which list is which split is said by the key, never by a file's name.

    A line is a path and one or more integer labels, the ranks, from 0. Several labels are annotators': the rank is
    the middle one of them in order, of an even number the upper of the two in the middle, and all of them are kept in
    the manifest's column `labels`. (The reference takes the middle as written, and in training one at random.)

    Args:
        root: folder of the data set.
        train: list of the training images, relative to `root` or absolute; `{fold}` and `{part}` in its name stand
            for those two options, as in the other lists' names.
        val: list of the images that an epoch is chosen on; null where there is none.
        test: list of the test images.
        images: folder in `root` that the lists' paths start from.
        num_ranks: R.
        rank_names: a word per rank, as in a prompt; by default the numbers.
        rank_values: a number per rank in `unit`; by default the numbers.
        unit: of the values.
        subject: regular expression whose first group is the subject's id in an image's path; null where unknown.
        fold: which of several splits of the same images; null where there is one.
        part: which part of the set, such as a category; null where there is one.
        obtain: where the data come from, told where they are missing.
        select_on: of the protocol: whether a val list that names the test images is meant.
        on_error: "raise" about broken images, or "skip" and note them.
        allow_outside: let paths lead out of the folder of the images, by symbolic links say.
        data_dir: not used; the yaml puts it into `root`.
        cache_dir: remembers the inspection.

    Returns:
        The manifest with its split.

    Raises:
        ConfigError: where folders or lists are missing, or val and test are one and `select_on` is val.
        DataError: for lists that cannot be used, naming lines.
    """
    files = _filled({"train": train, "val": val, "test": test}, {"fold": fold, "part": part})
    folder = _folder(root, images, files, obtain)
    for name in filter(None, files.values()):
        check_list(folder, name, allow_outside=allow_outside)
    lists = {
        split: read_list(_list_file(folder, name, split, obtain), num_ranks)
        for split, name in files.items()
        if name is not None
    }
    notes = _check_apart(lists, select_on)
    if notes:
        del lists["val"]
    table = pd.concat([rows.assign(split=split) for split, rows in lists.items()], ignore_index=True)
    table["raw"] = table["labels"]
    if not (table["labels"].str.contains(" ")).any():
        table = table.drop(columns="labels")
    else:
        notes.append("several labels an image: the rank is the middle one; label_draw says what training takes")
    if on_error == "raise":
        require_files(folder / images, table["path"].tolist(), what="images that the lists name", obtain=obtain)
    if subject is not None:
        table["subject"] = subjects_of(table["path"], subject)
    numbers = range(num_ranks)
    names = [str(rank) for rank in numbers] if rank_names is None else list(rank_names)
    values = [float(rank) for rank in numbers] if rank_values is None else list(rank_values)
    for key, given in (("rank_names", names), ("rank_values", values)):
        if len(given) != num_ranks:
            raise ConfigError(f"dataset.{key}", given, f"{len(given)} for {num_ranks} ranks", allowed="one per rank")
    return build_manifest(
        table,
        name=folder.name,
        rank_names=names,
        rank_values=values,
        unit=unit,
        root=folder / images,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
        notes=notes,
    )


def _filled(names: Mapping[str, str | None], values: Mapping[str, int | str | None]) -> dict[str, str | None]:
    """The lists' names with fold and part written in."""
    filled = dict(names)
    for key, value in values.items():
        mark = "{" + key + "}"
        marked = [split for split, name in names.items() if name is not None and mark in name]
        if value is None and marked:
            raise ConfigError(f"dataset.{key}", None, f"dataset.{marked[0]} has a place for it: {names[marked[0]]}")
        if value is not None and not marked:
            raise ConfigError(f"dataset.{key}", value, f"no list's name has a place for it ({mark})", allowed="null")
        filled = {split: name and name.replace(mark, str(value)) for split, name in filled.items()}
    return filled


def _folder(root: str, images: str, files: Mapping[str, str | None], obtain: str) -> Path:
    folder = Path(root).expanduser().absolute()
    if not (folder / images).is_dir():
        layout = [f"{folder / images}{os.sep} (images)", *(str(folder / name) for name in files.values() if name)]
        missing = folder if not folder.is_dir() else folder / images
        raise ConfigError(
            "dataset.root",
            root,
            f"there is no folder {missing}",
            allowed="a folder such that there are " + ", ".join(dict.fromkeys(layout)),
            remedy=obtain,
        )
    return folder


def _list_file(folder: Path, name: str, split: str, obtain: str) -> Path:
    file = folder / Path(name).expanduser()
    if not file.is_file():
        beside = sorted(path.name for path in file.parent.glob("*.txt"))[:NUM_LISTED] if file.parent.is_dir() else []
        raise ConfigError(
            f"dataset.{split}",
            name,
            f"there is no such list (looked at {file})",
            allowed=", ".join(beside) or "a text file with a path and a label on each line",
            remedy=obtain,
        )
    return file


def _check_apart(lists: Mapping[str, pd.DataFrame], select_on: str) -> list[str]:
    """No image in two lists, but that val and test may be one where that is asked for; a note where they are."""
    paths = {split: set(rows["path"]) for split, rows in lists.items()}
    for one, other in (("train", "test"), ("train", "val"), ("val", "test")):
        common = sorted(paths.get(one, set()) & paths.get(other, set()))
        if not common:
            continue
        if one == "val" and paths["val"] == paths["test"]:
            if select_on == "test":
                return [f"the val list names the {len(common)} test images: there is no other val split"]
            raise ConfigError(
                "protocol.select_on",
                select_on,
                f"the val list names the {len(common)} test images, so that an epoch chosen on it is chosen on test",
                allowed="test, which marks the run and every table it enters as selected on test",
                remedy="dataset.val=null protocol=carve_val takes the val split from the training images",
            )
        told = ", ".join(common[:5]) + (" …" if len(common) > 5 else "")
        raise DataError(
            f"{len(common)} images stand in the {one} list and in the {other} list: {told}\n"
            "  what to do: keep each in one of them, so that none is tested that was trained or chosen on"
        )
    return []
