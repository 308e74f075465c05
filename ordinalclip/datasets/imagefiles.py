"""Image files below a folder: which there are, and which of those that a list names."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ordinalclip.datasets.imagenames import SUFFIXES
from ordinalclip.datasets.offenders import listed
from ordinalclip.errors import DataError

NUM_TOLD = 5


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
