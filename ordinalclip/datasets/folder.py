"""dataset=folder: the user's own images, one folder per rank.

Folders named train, val or test (also valid, validation, dev, training) are splits. They are either above the ranks'
folders or in them. Below both, images may be in further folders.
"""

import itertools
import math
import os
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ordinalclip.datasets.bad_rows import listed, refuse
from ordinalclip.datasets.image_files import subjects_of, walk_images
from ordinalclip.datasets.layout import contents
from ordinalclip.datasets.manifest import Manifest, build_manifest
from ordinalclip.datasets.table import SPLIT_WORDS
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.images.decoding import ENDINGS

_LAYOUT = "a folder with a folder for each rank; train, val and test folders may be above these or in them"


def load_folder(
    *,
    root: str | None,
    order: Sequence[str | int | float] | None = None,
    rank_names: Sequence[str | int | float] | None = None,
    rank_values: Sequence[float] | None = None,
    unit: str = "",
    subject: str | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    allow_empty: bool = False,
    allow_outside: bool = False,
    data_dir: Path,
    cache_dir: Path,
) -> Manifest:
    """Reads a folder of folders.

    Args:
        root: the folder.
        order: names of the ranks' folders from the lowest to the highest; by default that of `sort_names`, in which 2
            is before 10 and `<5` before `5-10`. A note says which.
        rank_names: a word per rank for prompts; by default the folders' names, with blanks for underscores.
        rank_values: a number per rank; by default the folders' names if all are numbers, else 0…R-1.
        unit: of the values.
        subject: regular expression whose first group is the subject's id in an image's path; null if unknown.
        on_error: "raise" about broken images, or "skip" them with a note.
        allow_empty: whether a folder without images is a rank without images.
        allow_outside: whether paths may lead out of the folder of the images, for example by symbolic links.
        data_dir: not used.
        cache_dir: caches the inspection of the images.

    Returns:
        The manifest, its `split` NA if there are no split folders.

    Raises:
        ConfigError: there is no such folder, or `order` does not fit it.
        DataError: a rank's folder has no image that is read, or some images are in a split's folder and others are not.
    """
    top = _top(root)
    images, others, links = walk_images(top)
    others = [*(f"{link} (a link)" for link in links), *others]
    placed = [_place(path) for path in images]
    table = pd.DataFrame(
        [(path, split, rank) for path, (split, rank) in zip(images, placed, strict=True) if rank is not None],
        columns=["path", "split", "folder"],
        dtype="str",
    )
    notes = _skipped_notes([path for path, (_, rank) in zip(images, placed, strict=True) if rank is None], others)
    ranks = set(table["folder"])
    if ranks:
        empty = _empty_folders(top, images, others)
        if order is not None:
            empty = {place: rank for place, rank in empty.items() if rank in map(str, order)}
        if not allow_empty:
            _refuse_empty(top, empty, ranks, others)
        ranks |= set(empty.values())
    sorted_names, order_note = sort_names(ranks)
    folders = _order(sorted_names, order, top)
    _check_splits(table, top)
    if order is None:
        notes.append(f"{order_note}; dataset.order=[…] sets another")
    table["rank"] = table["folder"].map({name: rank for rank, name in enumerate(folders)})
    if subject is not None:
        table["subject"] = subjects_of(table["path"], subject)
    for key, given in (("rank_names", rank_names), ("rank_values", rank_values)):
        if given is not None and len(given) != len(folders):
            problem = f"{len(given)} for the {len(folders)} folders {' < '.join(folders)}"
            raise ConfigError(f"dataset.{key}", list(given), problem, allowed="one for each folder")
    return build_manifest(
        table.rename(columns={"folder": "raw"}),
        name=top.name,
        rank_names=[name.replace("_", " ") for name in folders]
        if rank_names is None
        else [str(name) for name in rank_names],
        rank_values=_values(folders) if rank_values is None else rank_values,
        unit=unit,
        root=top,
        cache_dir=cache_dir,
        on_error=on_error,
        allow_outside=allow_outside,
        notes=notes,
    )


def natural(name: str) -> list[tuple[int, float, str]]:
    """Returns a sort key that orders the numbers in names by size: 9 before 10, -1 before 0 and 1.5 before 2."""
    parts = re.findall(r"^-?\d+(?:\.\d+)?|\d+(?:\.\d+)?|\D+", name)
    return [(0, float(part), "") if re.search(r"\d", part) else (1, 0.0, part.casefold()) for part in parts]


def sort_names(names: Collection[str]) -> tuple[list[str], str]:
    """Returns the names of ranks from the lowest to the highest, and a note on their order.

    Ranges such as `<5`, `5-10` and `20+`, or roman numerals, are sorted by their numbers if all names are such; others
    are in natural order. The note begins with "warning: " if that may be wrong: names have no number, begin with
    different words, or have the same first number.
    """
    folders = sorted(names, key=natural)
    kind = "natural order of their folders"
    bare = _without_common_word(folders)
    numerals = [_ROMAN.fullmatch(name) for name in bare]
    ranges = [_range(name) for name in bare]
    doubt = ""
    if all(numerals) and len(bare) == len(set(bare)):
        kind = "order of their folders' roman numerals"
        folders = _sort_by(folders, [_roman_number(name) for name in bare])
    elif _ascend(found := [span for span in ranges if span is not None]) and len(found) == len(folders):
        by_range = _sort_by(folders, found)
        if by_range != folders:
            folders, kind = by_range, "order of their folders' ranges"
    elif not all(re.search(r"\d", name) for name in folders):
        doubt = "names without numbers are in alphabetical order"
    elif _beginnings_differ(folders):
        doubt = "names that do not differ by their first number alone are in alphabetical order"
    note = f"ranks in the {kind}: {' < '.join(folders)}"
    return folders, f"warning: {note}; {doubt}, so check that it is intended" if doubt else note


_ROMAN = re.compile(r"(?=[ivx])x{0,3}(?:ix|iv|v?i{0,3})")
_NUMBER = r"(-?(?:\d+(?:\.\d+)?|\.\d+))"
_UNIT = r"(?:\s*[^\W\d]+)?"
_BELOW = re.compile(rf"(?:<=?|≤|under|below|less than|up to|younger than|at most)\s*{_NUMBER}{_UNIT}")
_BELOW_AFTER = re.compile(rf"{_NUMBER}{_UNIT}\s*(?:(?:and|or) (?:under|below|less|fewer|younger))")
_ABOVE = re.compile(rf"(?:>=?|≥|over|above|more than|older than|at least)\s*{_NUMBER}{_UNIT}")
_ABOVE_AFTER = re.compile(rf"{_NUMBER}{_UNIT}\s*(?:\+|plus|(?:and|or) (?:over|above|more|older|up)){_UNIT}")
_BETWEEN = re.compile(rf"{_NUMBER}{_UNIT}\s*(?:-|–|to)\s*{_NUMBER}{_UNIT}")
_SINGLE = re.compile(rf"{_NUMBER}{_UNIT}")


def _without_common_word(names: Sequence[str]) -> list[str]:
    """Returns the names in lower case, with blanks for underscores, and without the words that all begin with."""
    words = [name.casefold().replace("_", " ").split() or [""] for name in names]
    while words and all(len(each) > 1 and each[0].isalpha() and each[0] == words[0][0] for each in words):
        words = [each[1:] for each in words]
    return [re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", " ".join(each)) for each in words]


def _range(name: str) -> tuple[float, float] | None:
    """Returns the ends of a range such as `under 5`, `5-10`, `20+` or `7`, or None."""
    for pattern in (_BELOW, _BELOW_AFTER):
        if found := pattern.fullmatch(name):
            return -math.inf, float(found[1])
    for pattern in (_ABOVE, _ABOVE_AFTER):
        if found := pattern.fullmatch(name):
            return float(found[1]), math.inf
    if found := _BETWEEN.fullmatch(name):
        return float(found[1]), float(found[2])
    return (float(found[1]), float(found[1])) if (found := _SINGLE.fullmatch(name)) else None


def _ascend(ranges: Iterable[tuple[float, float]]) -> bool:
    """Returns whether the ranges are distinct, and both of their ends increase or stay equal from one to the next."""
    ordered = sorted(ranges)
    return all(low <= high for low, high in ordered) and all(
        one != other and one[1] <= other[1] for one, other in itertools.pairwise(ordered)
    )


def _roman_number(numeral: str) -> int:
    digits = [{"i": 1, "v": 5, "x": 10}[letter] for letter in numeral]
    return sum(-one if one < other else one for one, other in zip(digits, [*digits[1:], 0], strict=True))


def _sort_by(names: Sequence[str], keys: Sequence[Any]) -> list[str]:
    return [names[place] for place in sorted(range(len(names)), key=lambda place: keys[place])]


def _beginnings_differ(names: Sequence[str]) -> bool:
    """Returns whether the words before the first number differ, or two first numbers are equal."""
    keys = [natural(name) for name in names]
    places = [next(index for index, part in enumerate(key) if part[0] == 0) for key in keys]
    before = {tuple(key[:place]) for key, place in zip(keys, places, strict=True)}
    first = {key[place] for key, place in zip(keys, places, strict=True)}
    shapes = {tuple(part[2] for part in key) for key in keys}
    return len(before) > 1 or (len(first) < len(names) and len(shapes) > 1)


def _top(root: str | None) -> Path:
    if root is None:
        raise ConfigError("dataset.root", None, "dataset=folder needs the folder of your images", allowed=_LAYOUT)
    top = Path(root).expanduser().absolute()
    if not top.is_dir():
        raise ConfigError("dataset.root", root, f"there is no folder {top}", allowed=_LAYOUT)
    return top


def _place(path: str) -> tuple[str | None, str | None]:
    """Returns split and rank's folder of an image; the rank is None for images beside the ranks' folders."""
    first, *more = path.split("/")[:-1] or [""]
    if first.lower() in SPLIT_WORDS:
        return SPLIT_WORDS[first.lower()], more[0] if more else None
    if not first:
        return None, None
    return (SPLIT_WORDS.get(more[0].lower()) if more else None), first


def _skipped_notes(beside: list[str], others: list[str]) -> list[str]:
    notes = []
    for paths, what in ((beside, "images beside the ranks' folders"), (others, "files that are not images")):
        if paths:
            notes.append(f"skipped {len(paths):,} {what}: {', '.join(paths[:5])}{' …' if len(paths) > 5 else ''}")
    return notes


def _empty_folders(top: Path, images: list[str], others: list[str]) -> dict[str, str]:
    """Returns the folders of ranks that hold no image: their path below `top`, and the rank's name."""
    places: dict[str, str] = {}
    for first in _subfolders(top):
        if first.lower() in SPLIT_WORDS:
            places |= {f"{first}/{rank}": rank for rank in _subfolders(top / first)}
        else:
            places[first] = first
    filled = {"/".join(path.split("/")[:depth]) for path in images for depth in (1, 2)}
    return {place: rank for place, rank in places.items() if place not in filled}


def _subfolders(folder: Path) -> list[str]:
    """Returns names; hidden folders, links and what macOS adds to archives are left out."""
    with os.scandir(folder) as entries:
        found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return sorted(name for name in found if not name.startswith((".", "__MACOSX")))


def _refuse_empty(top: Path, empty: dict[str, str], ranks: set[str], others: list[str]) -> None:
    """Raises DataError about ranks without images, and folders of files none of which is read."""
    lines = []
    for place, rank in empty.items():
        files = [path for path in others if path.startswith(f"{place}/")]
        if files:
            endings = sorted({Path(file).suffix.lower() or "no ending" for file in files})
            lines.append(f"{place}: {len(files):,} files, none of which is read: {', '.join(endings)}")
        elif rank not in ranks:  # an empty folder of a split, of a rank that has images elsewhere, is no loss
            lines.append(f"{place}: empty")
    refuse(
        top,
        lines,
        "folders of ranks have no image",
        remedy=f"save their images in a format that is read ({', '.join(ENDINGS)}); remove the folders, or name the "
        "ranks without them by dataset.order=[…]; or dataset.allow_empty=true keeps them as ranks without images",
    )


def _order(folders: list[str], order: Sequence[str | int | float] | None, top: Path) -> list[str]:
    if not folders:
        problem = f"no folder with images in {top}, which holds {contents(top)}; images end in {', '.join(ENDINGS)}"
        raise ConfigError("dataset.root", top, problem, allowed=_LAYOUT)
    if order is None:
        if len(folders) < 2:
            problem = f"images in a single folder: {folders[0]}"
            raise ConfigError("dataset.root", top, problem, allowed=_LAYOUT)
        return folders
    given = [str(name) for name in order]
    wrong = [f"{name} occurs {given.count(name)} times" for name in dict.fromkeys(given) if given.count(name) > 1]
    wrong += [f"{name} is not a folder with images" for name in given if name not in folders]
    wrong += [f"{name} is a folder with images and is missing" for name in folders if name not in given]
    if wrong:
        allowed = f"these in any order: {', '.join(folders)}"
        raise ConfigError("dataset.order", given, "; ".join(wrong), allowed=allowed)
    return given


def _check_splits(table: pd.DataFrame, top: Path) -> None:
    without = table["path"][table["split"].isna()]
    if 0 < len(without) < len(table):
        raise DataError(
            f"{top}: {len(without):,} of {len(table):,} images are not in a split's folder, while others are:\n"
            f"{listed(without.tolist())}\n  what to do: put all images into train, val or test folders, or none"
        )


def _values(folders: Sequence[str]) -> list[float]:
    try:
        return [float(name) for name in folders]
    except ValueError:
        return [float(rank) for rank in range(len(folders))]
