"""`images=`: a folder, a pattern or a table of paths, as a stream in an order that is the same every time."""

import csv
import os
from collections.abc import Iterator
from glob import glob, has_magic
from pathlib import Path

from PIL import Image

from ordinalclip.errors import ConfigError

_TABLES = {".csv": ",", ".tsv": "\t"}


def list_images(images: str) -> Iterator[str]:
    """Paths of images, one after another.

    Args:
        images: an image; a folder, searched to its depths for files that Pillow knows by their names, sorted; a pattern
            such as `photos/**/*.jpg`; or a .csv or .tsv with a column `path`, relative to the table.

    Raises:
        ConfigError: there is no such thing, or no image in it.
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
    """The same stream, once it is known to have a first."""
    first = next(paths, None)
    if first is None:
        raise ConfigError("images", images, problem, allowed="a folder, a pattern, an image, or a .csv of paths")
    return _chained(first, paths)


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _walk(folder: Path) -> Iterator[str]:
    """Files with an image's name, folder by folder; what is held at a time is one folder's names."""
    suffixes = set(Image.registered_extensions())
    for place, folders, names in os.walk(folder):
        folders.sort()
        yield from (os.path.join(place, name) for name in sorted(names) if Path(name).suffix.lower() in suffixes)


def _rows(table: Path, images: str) -> Iterator[str]:
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=_TABLES[table.suffix.lower()])
        if "path" not in (reader.fieldnames or ()):
            columns = ", ".join(reader.fieldnames or ())
            raise ConfigError("images", images, f"the table has no column path, but {columns}")
        for row in reader:
            yield str(table.parent / row["path"])
