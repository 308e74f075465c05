"""Data sets whose labels stand in the names of their images: list the images, take the names apart."""

import os
import re
from pathlib import Path

import pandas as pd

from ordinalclip.datasets.offenders import NUM_LISTED
from ordinalclip.datasets.rows import usable
from ordinalclip.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


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
