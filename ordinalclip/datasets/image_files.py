"""Image files below a folder: all of them, those that a list names, and labels parsed from their names."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ordinalclip.datasets.bad_rows import NUM_LISTED, listed, usable
from ordinalclip.errors import ConfigError, DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

NUM_TOLD = 5


def list_images(root: Path, folder: str = ".", *, notes: list[str]) -> list[str]:
    """All images below a folder, by the endings of their names in any case; links to folders are not followed.

    Args:
        root: folder of the data set.
        folder: in it; this one may be a link.
        notes: where a note is added about links to folders that were passed over.

    Returns:
        Paths relative to `root`, with forward slashes, sorted. Hidden files (such as macOS's `._x.jpg`) are no images.

    Raises:
        DataError: where there is none.
    """
    found, links = [], []
    for place, folders, files in os.walk(root / folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(place).relative_to(root)
        links += [(below / name).as_posix() for name in folders if (Path(place) / name).is_symlink()]
        found += [(below / name).as_posix() for name in files if name.lower().endswith(SUFFIXES) and name[0] != "."]
    if not found:
        raise DataError(
            f"{root / folder}: holds no image ({', '.join(SUFFIXES)}), nor does a folder in it\n"
            "  what to do: unpack the images there, or see whether dataset.root is the right folder"
        )
    if links:
        told = f"{', '.join(sorted(links)[:NUM_LISTED])}{' …' if len(links) > NUM_LISTED else ''}"
        notes.append(f"warning: {len(links):,} links to folders are not followed: {told}")
    return sorted(found)


def parse_names(
    paths: list[str], pattern: str, notes: list[str], *, root: Path, form: str, on_error: str
) -> pd.DataFrame:
    """Take paths apart.

    Args:
        paths: relative to `root`.
        pattern: regular expression with named groups that has to fit the end of a path, from the start of a folder's or
            file's name; case does not matter.
        notes: where a note is added if images are left out.
        root: folder of the data set.
        form: the pattern in words, for the error.
        on_error: what to do about names that the pattern does not fit.

    Returns:
        `path`, and a column of str for each named group.

    Raises:
        DataError: for names that are not understood, all at once.
    """
    whole = re.compile(rf"(?:.*/)?(?:{pattern})", re.IGNORECASE)
    found = [whole.fullmatch(path) for path in paths]
    groups = list(whole.groupindex)
    table = pd.DataFrame(
        {
            "path": paths,
            **{group: pd.Series([one and one[group] for one in found], dtype="str") for group in groups},
        }
    )
    return usable(
        table,
        [one is None for one in found],
        paths,
        notes,
        where=root,
        problem=f"images whose names are not of the form {form}",
        remedy="mend their names, take them out",
        on_error=on_error,
    )


def walk_images(folder: Path) -> tuple[list[str], list[str]]:
    """All images below a folder, links to other folders not followed.

    Returns:
        Paths relative to it with forward slashes, in order; and those of files that are no images by their names.
        Hidden ones are in neither.
    """
    images: list[str] = []
    others: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [Path(place) / name for name in folders if (Path(place) / name).is_symlink()]
        others += [f"{link.relative_to(folder).as_posix()} (a link)" for link in links]
        for name in sorted(files):
            if not name.startswith("."):
                path = (Path(place) / name).relative_to(folder).as_posix()
                (images if name.lower().endswith(SUFFIXES) else others).append(path)
    return images, others


def named_images(root: Path, folder: str, names: Sequence[str], suffix: str) -> tuple[list[str], np.ndarray]:
    """Where the images lie that a table calls by their names without a suffix.

    Args:
        root: of the data set.
        folder: in it, that holds them all.
        names: of the images.
        suffix: that they were published with; copies in another format are found, too.

    Returns:
        The N paths relative to root, under the published suffix where there is none; [N] whether there is one.
    """
    stems: dict[str, str] = {}
    for name in sorted(os.listdir(root / folder), reverse=True):  # of two under one name, the first in order
        stem, dot, end = name.rpartition(".")
        if dot and f".{end.lower()}" in SUFFIXES:
            stems[stem] = name
    found = [stems.get(name) for name in names]
    prefix = "" if folder in ("", ".") else f"{folder.rstrip('/')}/"
    paths = [prefix + (file or f"{name}{suffix}") for name, file in zip(names, found, strict=True)]
    return paths, np.array([file is not None for file in found])


def leave_out_missing(
    table: pd.DataFrame, there: np.ndarray, *, name: str, obtain: str
) -> tuple[pd.DataFrame, list[str]]:
    """The rows whose image is there, for sets whose images vanish from where they are fetched.

    Args:
        table: with `path`.
        there: [N] whether a row's image is.
        name: of the data set.
        obtain: where the images come from.

    Returns:
        The rows, and a note of how many are missing.

    Raises:
        DataError: where none is there.
    """
    missing = table["path"][~there].tolist()
    if not missing:
        return table, []
    if len(missing) == len(table):
        told = f"{name}: none of its {len(table):,} images is there:\n{listed(missing[:NUM_TOLD], len(missing))}"
        raise DataError(f"{told}\n  what to do: see dataset.images" + (f"; {obtain}" if obtain else ""))
    examples = ", ".join(missing[:NUM_TOLD]) + (" …" if len(missing) > NUM_TOLD else "")
    note = f"{len(missing):,} of {len(table):,} images are not there (any more): {examples}"
    return table[there].reset_index(drop=True), [note]


def subjects_of(paths: pd.Series, pattern: str) -> pd.Series:
    """The subject's id in each path.

    Args:
        paths: of the images.
        pattern: regular expression whose first group is the id, `dataset.subject`.

    Raises:
        ConfigError: where it fits no part of a path, or has no group.
    """
    allowed = "a regular expression with one group, or null"
    try:
        subjects = paths.str.extract(pattern, expand=True)[0]
    except (ValueError, re.error) as error:
        raise ConfigError("dataset.subject", pattern, str(error), allowed=allowed) from None
    if subjects.isna().any():
        unlike = paths[subjects.isna()]
        problem = f"fits no part of {len(unlike)} paths, such as {unlike.iloc[0]}"
        raise ConfigError("dataset.subject", pattern, problem, allowed=allowed)
    return subjects
