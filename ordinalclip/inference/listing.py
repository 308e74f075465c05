"""Lists the images of `images=`: a folder, a pattern or a table of paths, in a reproducible order."""

import csv
import logging
import os
from collections.abc import Iterator
from glob import glob, has_magic
from pathlib import Path

from ordinalclip.errors import ConfigError
from ordinalclip.images.decoding import ENDINGS

log = logging.getLogger("ordinalclip")

_TABLES = {".csv": ",", ".tsv": "\t"}


def list_images(images: str) -> Iterator[str]:
    """Yields paths of images. Tables are read row by row, folders one at a time, matches of patterns all at once.

    Args:
        images: an image; a folder, searched to its depths for files with an image's name, sorted, hidden ones and links
            to folders left out; a pattern such as `photos/**/*.jpg`; or a .csv or .tsv with a column `path`, relative
            to the table.

    Raises:
        ConfigError: there is no such file or folder, or no image in it; a table that cannot be read (while iterating).
    """
    place = Path(images).expanduser()
    if place.is_dir():
        return _some(_walk(place), images, "no file in it has the name of an image")
    if has_magic(images) and not place.exists():
        found = sorted(path for path in glob(str(place), recursive=True) if os.path.isfile(path))
        return _some(iter(found), images, "no file is matched by it")
    if place.suffix.lower() in _TABLES and place.is_file():
        return _some(_rows(place, images), images, "it has no rows")
    if place.is_file():
        return iter([str(place)])
    problem = "there is no such folder or file"
    raise ConfigError("images", images, problem, allowed="a folder, a pattern, an image, or a .csv with a column path")


def _some(paths: Iterator[str], images: str, problem: str) -> Iterator[str]:
    """Returns the iterator; raises ConfigError if it is empty."""
    first = next(paths, None)
    if first is None:
        raise ConfigError("images", images, problem, allowed="a folder, a pattern, an image, or a .csv of paths")
    return _chained(first, paths)


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _walk(folder: Path) -> Iterator[str]:
    """Yields files with one of `ENDINGS`; holds the names of one folder at a time. At the end, others are logged."""
    number, example = 0, ""
    for place, folders, names in os.walk(folder, onerror=_closed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield os.path.join(place, name)
            elif not name.startswith("."):
                number, example = number + 1, os.path.join(place, name)
    if number:
        log.warning("%s: %d files without an image's ending are left out, such as %s", folder, number, example)


def _closed(error: OSError) -> None:
    log.warning("%s: its images are left out: %s", error.filename, error.strerror)


def _rows(table: Path, images: str) -> Iterator[str]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=_TABLES[table.suffix.lower()])
            if "path" not in (reader.fieldnames or ()):
                columns = ", ".join(reader.fieldnames or ()) or "nothing"
                remedy = "name the column of the images path"
                raise ConfigError("images", images, f"the table has no column path, but {columns}", remedy=remedy)
            for row in reader:
                if not row["path"]:
                    raise ConfigError("images", images, f"line {reader.line_num} of the table has no path")
                yield str(table.parent / row["path"])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        remedy = "save it as CSV in UTF-8"
        raise ConfigError("images", images, f"the table cannot be read: {error}", remedy=remedy) from None
