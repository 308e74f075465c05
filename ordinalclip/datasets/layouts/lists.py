"""List files of published protocols: `relative/path label [label …]`, one file a split."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd

from ordinalclip.config.kinds import Between
from ordinalclip.datasets.bad_rows import NUM_LISTED
from ordinalclip.datasets.image_files import subjects_of
from ordinalclip.datasets.layout import Source, check_list
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
    """Load the lists of a published protocol; the key, not the file's name, says which split a list is.

    A line is a path and one or more integer labels, which are ranks from 0. Several labels are those of annotators: the
    rank is the middle one in order, of an even number the upper of the two in the middle, and all are kept in `labels`.
    (The reference takes the middle one as written, and in training a random one.)

    Options:
        train: list of the training images, relative to `root` or absolute. `{fold}` and `{part}` in a list's name are
            replaced by these options.
        val: list of the images for selecting an epoch; null if there is none.
        test: list of the test images.
        images: folder that the lists' paths are relative to.
        num_ranks: R.
        rank_names, rank_values: by default the numbers 0…R-1.
        subject: regular expression whose first group is the subject's id in an image's path; null if unknown.
        fold: which of several splits of the same images; null if there is one.
        part: which part of the set, such as a category; null if there is one.
        select_on: of the protocol: "test" allows a val list with the test images.
    """
    files = _filled({"train": train, "val": val, "test": test}, {"fold": fold, "part": part})
    folder = _folder(root, images, files, obtain)
    source = Source(folder.name, folder, cache_dir, obtain, on_error, allow_outside)
    for name in filter(None, files.values()):
        check_list(source, name)
    lists = {
        split: read_list(_list_file(folder, name, split, obtain), num_ranks)
        for split, name in files.items()
        if name is not None
    }
    source.notes.extend(_check_disjoint(lists, select_on))
    if source.notes:
        del lists["val"]
    table = pd.concat([rows.assign(split=split) for split, rows in lists.items()], ignore_index=True)
    table["raw"] = table["labels"]
    if not (table["labels"].str.contains(" ")).any():
        table = table.drop(columns="labels")
    else:
        source.notes.append("several labels an image: the rank is the middle one; label_draw says what training takes")
    source = replace(source, root=folder / images)
    source.require(table["path"].tolist(), "images that the lists name")
    if subject is not None:
        table["subject"] = subjects_of(table["path"], subject)
    names = list(map(str, range(num_ranks))) if rank_names is None else list(rank_names)
    values = list(map(float, range(num_ranks))) if rank_values is None else list(rank_values)
    for key, given in (("rank_names", names), ("rank_values", values)):
        if len(given) != num_ranks:
            raise ConfigError(f"dataset.{key}", given, f"{len(given)} for {num_ranks} ranks", allowed="one per rank")
    return build_manifest(table, name=folder.name, rank_names=names, rank_values=values, unit=unit, **source.options)


def _filled(names: Mapping[str, str | None], values: Mapping[str, int | str | None]) -> dict[str, str | None]:
    """Replace `{fold}` and `{part}` in the lists' names."""
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


def _check_disjoint(lists: Mapping[str, pd.DataFrame], select_on: str) -> list[str]:
    """Raise if an image is in two lists. Val and test may be the same with `select_on` "test"; a note says so."""
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
        examples = ", ".join(common[:5]) + (" …" if len(common) > 5 else "")
        raise DataError(
            f"{len(common)} images are in the {one} list and in the {other} list: {examples}\n"
            "  what to do: keep each in one of them, so that none is tested that was trained or chosen on"
        )
    return []
