"""Image files below a folder: all of them, those that a list names, and labels parsed from their names."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ordinalclip.datasets.bad_rows import NUM_LISTED, listed, usable
from ordinalclip.datasets.layout import Source
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.images.decoding import ENDINGS

NUM_EXAMPLES = 5  # missing images that a note names


def walk_images(folder: Path) -> tuple[list[str], list[str], list[str]]:
    """List the files below a folder. Links to folders are not followed; hidden files and folders are skipped.

    Returns:
        Images (by one of `ENDINGS` in any case), other files, and links to folders: paths relative to `folder` with
        forward slashes, in order.
    """
    images: list[str] = []
    others: list[str] = []
    links: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(place).relative_to(folder)
        links += [(below / name).as_posix() for name in folders if (Path(place) / name).is_symlink()]
        for name in sorted(files):
            if not name.startswith("."):
                (images if name.lower().endswith(ENDINGS) else others).append((below / name).as_posix())
    return images, others, links


def list_images(source: Source, folder: str = ".") -> list[str]:
    """List all images below a folder of the data set; a note is added if links to folders are skipped.

    Args:
        source: the data set.
        folder: relative to its root; this folder itself may be a link.

    Returns:
        Paths relative to the root, with forward slashes, sorted.

    Raises:
        DataError: there is no image.
    """
    images, _, links = walk_images(source.root / folder)
    if not images:
        raise DataError(
            f"{source.root / folder}: holds no image ({', '.join(ENDINGS)}), nor does a folder in it\n"
            "  what to do: unpack the images there, or see whether dataset.root is the right folder"
        )
    if links:
        names = sorted((Path(folder) / link).as_posix() for link in links)
        more = " …" if len(names) > NUM_LISTED else ""
        source.notes.append(
            f"warning: {len(names):,} links to folders are not followed: {', '.join(names[:NUM_LISTED])}{more}"
        )
    return sorted((Path(folder) / image).as_posix() for image in images)


def parse_names(source: Source, paths: Sequence[str], pattern: str, form: str) -> pd.DataFrame:
    """Parse labels from the names of images; names that do not match are an error or skipped, by `source.on_error`.

    Args:
        source: the data set.
        paths: relative to its root.
        pattern: regular expression with named groups, matched against the end of a path from the start of a folder's
            or file's name; case is ignored.
        form: the pattern in words, for the error.

    Returns:
        `path`, and a column of str for each named group.

    Raises:
        DataError: names do not match, all listed at once.
    """
    whole = re.compile(rf"(?:.*/)?(?:{pattern})", re.IGNORECASE)
    found = [whole.fullmatch(path) for path in paths]
    groups = {group: pd.Series([match and match[group] for match in found], dtype="str") for group in whole.groupindex}
    return usable(
        pd.DataFrame({"path": paths, **groups}),
        [match is None for match in found],
        paths,
        source.notes,
        where=source.root,
        problem=f"images whose names are not of the form {form}",
        remedy="mend their names, take them out",
        on_error=source.on_error,
    )


def named_images(root: Path, folder: str, names: Sequence[str], suffix: str) -> tuple[list[str], np.ndarray]:
    """Find the images that a table names without a suffix.

    Args:
        root: folder of the data set.
        folder: relative to it; holds all images.
        names: of the images.
        suffix: the published one; copies in another format are found, too.

    Returns:
        N paths relative to root, with the published suffix if there is no such image; and [N], whether there is one.
    """
    stems: dict[str, str] = {}
    listed_names = [name for name in os.listdir(root / folder) if name.lower().endswith(ENDINGS)]
    # Of two under one name: a usual format (the first seven endings), then the first in order.
    for name in sorted(listed_names, key=lambda name: (not name.lower().endswith(ENDINGS[:7]), name), reverse=True):
        stems[name.rpartition(".")[0]] = name
    found = [stems.get(name) for name in names]
    prefix = "" if folder in ("", ".") else f"{folder.rstrip('/')}/"
    paths = [prefix + (file or f"{name}{suffix}") for name, file in zip(names, found, strict=True)]
    return paths, np.array([file is not None for file in found])


def leave_out_missing(source: Source, table: pd.DataFrame, is_there: np.ndarray) -> pd.DataFrame:
    """Leave out rows whose image is missing, for data sets whose images disappear from their web site; adds a note.

    Args:
        source: the data set.
        table: with the column `path`.
        is_there: [N], whether the image of a row exists.

    Raises:
        DataError: no image exists.
    """
    missing = table["path"][~is_there].tolist()
    if not missing:
        return table
    if len(missing) == len(table):
        remedy = "see dataset.images" + (f"; {source.obtain}" if source.obtain else "")
        examples = listed(missing[:NUM_EXAMPLES], len(missing))
        raise DataError(
            f"{source.name}: none of its {len(table):,} images is there:\n{examples}\n  what to do: {remedy}"
        )
    examples = ", ".join(missing[:NUM_EXAMPLES]) + (" …" if len(missing) > NUM_EXAMPLES else "")
    source.notes.append(f"{len(missing):,} of {len(table):,} images are not there (any more): {examples}")
    return table[is_there].reset_index(drop=True)


def subjects_of(paths: pd.Series, pattern: str) -> pd.Series:
    """Extract the subject's id from each path.

    Args:
        paths: of the images.
        pattern: regular expression whose first group is the id, `dataset.subject`.

    Raises:
        ConfigError: it matches no part of a path, or has no group.
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
