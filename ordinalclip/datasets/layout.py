"""The folder of a public data set: it is found, checked for completeness, and nothing outside it is read.

A loader calls `find_root`, which returns a `Source` and checks that the lists it names lie within the folder;
`check_list` for other lists; readers of lists (`table_files`, `published_labels`) and of names (`image_files`);
`Source.require` for the files that lists name; and `build_manifest(table, …, **source.options)`, which calls
`check_inside` for every image before it is opened. `unlike_published` compares lists with the published ones; a
difference is noted, not refused, since a copy may have other line ends.
"""

import difflib
import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ordinalclip.datasets.bad_rows import NUM_LISTED, listed
from ordinalclip.errors import ConfigError, DataError

OnError = Literal["raise", "skip"]

_NUM_COMPARED = 5_000  # names of a folder that are compared with a missing one


@dataclass(frozen=True)
class Source:
    """A data set's folder, and how its loader treats what it cannot use.

    Args:
        name: of the data set, for errors.
        root: absolute folder that images and lists are relative to.
        cache_dir: folder in which `build_manifest` caches checks of images.
        obtain: where the data can be obtained, for errors about missing files.
        on_error: "raise" for rows and images that cannot be used, or "skip" to leave them out with a note.
        allow_outside: allow paths that lead out of `root`.
        notes: recorded in the manifest; readers append to it.
    """

    name: str
    root: Path
    cache_dir: Path
    obtain: str = ""
    on_error: OnError = "raise"
    allow_outside: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of `build_manifest` that are the same for all tables of this data set."""
        names = ("root", "cache_dir", "on_error", "allow_outside", "notes")
        return {name: getattr(self, name) for name in names}

    def require(self, paths: Sequence[str], what: str) -> None:
        """With `on_error` "raise", raise if files are missing; see `require_files`."""
        if self.on_error == "raise":
            require_files(self.root, paths, what=what, obtain=self.obtain)


def find_root(
    root: str,
    cache_dir: Path,
    obtain: str = "",
    on_error: OnError = "raise",
    allow_outside: bool = False,
    *,
    name: str,
    needs: Sequence[str],
) -> Source:
    """Find the folder of a data set and check that it is complete.

    Args:
        root: `dataset.root`.
        cache_dir: see `Source`, as are `obtain`, `on_error` and `allow_outside`.
        obtain: where the data can be obtained.
        on_error: "raise" or "skip".
        allow_outside: allow links that lead out of the folder.
        name: of the data set, for errors.
        needs: what must be in it: files, folders, or patterns such as `fold_*_data.txt`; `a|b` is one of the two.

    Raises:
        ConfigError: there is no such folder, or it is another one: nothing of `needs` is in it.
        DataError: some of `needs` are missing (an incomplete copy), or lead out of the folder.
    """
    folder = Path(root).expanduser().absolute()
    allowed = f"the folder of {name}, in which there are {', '.join(needs)}"
    if not folder.is_dir():
        kind = "is a file, not a folder" if folder.exists() else "is no folder"
        raise ConfigError("dataset.root", root, f"{folder} {kind}", allowed=allowed, remedy=obtain)
    missing = [need for need in needs if not _has(folder, need)]
    if not missing:
        source = Source(name, folder, cache_dir, obtain, on_error, allow_outside)
        for pattern in (pattern for need in needs for pattern in need.split("|")):
            if (folder / pattern).exists():
                check_list(source, pattern)
        return source
    nearby = [*sorted(child for child in folder.iterdir() if child.is_dir()), folder.parent]
    nearer = next((place for place in nearby if all(_has(place, need) for need in needs)), None)
    if nearer is not None:
        problem = f"{name} is not there, but in {nearer}"
        raise ConfigError("dataset.root", root, problem, allowed=allowed, remedy=f"dataset.root={nearer}")
    if len(missing) == len(needs):
        problem = f"{folder} is not {name}: it holds {contents(folder)}"
        raise ConfigError("dataset.root", root, problem, allowed=allowed, remedy=obtain)
    problem = f"{folder}: half of {name}; there is no {' and no '.join(missing)}\n  it holds {contents(folder)}"
    raise DataError(f"{problem}\n  what to do: copy or unpack the rest" + (f"; {obtain}" if obtain else ""))


def require_files(root: Path, paths: Sequence[str], *, what: str, obtain: str = "") -> None:
    """Check that files exist, all at once, before any is opened.

    Args:
        root: folder of the data set.
        paths: relative to it.
        what: the files in words: "images that fold_0_data.txt names".
        obtain: where the data can be obtained.

    Raises:
        DataError: with the number of missing files, the first of them, and what is in their folder.
    """
    found = found_paths(root, paths)
    missing = [path for path, name in zip(paths, found, strict=True) if not (root / name).is_file()]
    if not missing:
        return
    place = (root / missing[0]).parent
    beside = f"{place} holds {contents(place)}" if place.is_dir() else f"there is no folder {place}"
    remedy = "the set seems half copied: copy or unpack the rest"
    if len(missing) == len(paths):
        remedy = "see whether dataset.root is the right folder, and the images are unpacked"
    nearest = nearest_names(root, missing)
    if any(nearest):
        remedy = f"write the names as the files have them; or {remedy}"
    lines = [f"{path}{near}" for path, near in zip(missing, nearest, strict=False)]
    raise DataError(
        f"{root}: {len(missing):,} of {len(paths):,} {what} are not there:\n{listed(lines, len(missing))}\n  {beside}\n"
        f"  what to do: {remedy}" + (f"; {obtain}" if obtain else "")
    )


def found_paths(root: Path, paths: Sequence[str]) -> list[str]:
    """Returns the paths of existing files, also of those that are written in another way.

    A path without a file is looked for with `/` for backslashes, and with each name in another Unicode form (macOS
    writes `é` as two characters). It is replaced if exactly one name fits; other paths are returned as they are.

    Args:
        root: that they start from.
        paths: relative to it.
    """
    listings: dict[str, list[str]] = {}

    def same(name: str, names: list[str]) -> str | None:
        form = unicodedata.normalize("NFC", name)
        fitting = [other for other in names if unicodedata.normalize("NFC", other) == form]
        return fitting[0] if len(fitting) == 1 else None

    found = []
    for path in paths:
        if "\\" in path or not path.isascii():
            spellings = [path] if "\\" not in path else [path, os.path.normpath(path.replace("\\", "/"))]
            if not os.path.lexists(os.path.join(root, path)):
                path = next(filter(None, (_walk(root, name, same, listings) for name in spellings)), path)
        found.append(path)
    return found


def nearest_names(root: Path, paths: Sequence[str]) -> list[str]:
    """Returns, for each of the first `NUM_LISTED` paths, ` (there is …)` with the most similar file, or "".

    Names that differ in case, in blanks or in the suffix are preferred to those that are only similar.
    """
    listings: dict[str, list[str]] = {}

    def similar(name: str, names: list[str]) -> str | None:
        for key in (_plain, lambda other: os.path.splitext(_plain(other))[0]):
            fitting = [other for other in names if key(other) == key(name)]
            if fitting:
                return fitting[0]
        names = [other for other in names if _integers(other) == _integers(name)]  # 2.png is not a misspelt 1.png
        stems = {os.path.splitext(_plain(other))[0]: other for other in names[:_NUM_COMPARED]}  # e.jpg is not a.jpg
        close = difflib.get_close_matches(os.path.splitext(_plain(name))[0], stems, n=1, cutoff=0.8)
        return stems[close[0]] if close else None

    near = [_walk(root, path.replace("\\", "/"), similar, listings) for path in paths[:NUM_LISTED]]
    return [f" (there is {name})" if name else "" for name in near]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip()


def _integers(name: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", name)]


def _walk(
    root: Path, path: str, choose: Callable[[str, list[str]], str | None], listings: dict[str, list[str]]
) -> str | None:
    """Returns a path whose missing parts are replaced by names that `choose` takes from their folders, or None."""
    walked = ""
    for part in path.split("/"):
        place = os.path.join(root, walked)
        if part not in ("", ".", "..") and not os.path.lexists(os.path.join(place, part)):
            if place not in listings:
                listings[place] = sorted(os.listdir(place)) if os.path.isdir(place) else []
            chosen = choose(part, listings[place])
            if chosen is None:
                return None
            part = chosen
        walked = os.path.join(walked, part) if part else walked or "/"
    return walked


def check_inside(root: Path, paths: Sequence[str], *, allow_outside: bool = False) -> None:
    """Check that no path leads out of the data set's folder, through `..`, as an absolute path or by a symbolic link.

    The folder itself may be a link, and links may lead to places within it.

    Args:
        root: folder of the data set.
        paths: relative to it; they need not exist.
        allow_outside: skip the check.

    Raises:
        DataError: with the number of such paths, the first of them, and where they lead.
    """
    if allow_outside:
        return
    real_root = os.path.realpath(root)
    real: dict[str, str] = {}  # of folders, of which there are far fewer than images
    outside = []
    for path in paths:
        folder, slash, file = path.rpartition("/")
        folder = folder or slash  # an absolute path's may be the root of the file system
        if folder not in real:
            real[folder] = os.path.realpath(os.path.join(root, folder))
        target = f"{real[folder]}/{file}"
        if file == ".." or os.path.islink(target):
            target = os.path.realpath(target)
        if not _within(target, real_root):
            outside.append(f"{path} → {target}")
    if outside:
        raise DataError(
            f"{root}: {len(outside):,} of {len(paths):,} paths lead out of this folder:\n{listed(outside)}\n"
            "  what to do: copy the files into it, name a dataset.root that holds them all, or, where you trust what "
            "is named there, dataset.allow_outside=true"
        )


def check_list(source: Source, name: str) -> None:
    """Check that a list or table does not lie outside the data set's folder by a link, before it is read.

    Args:
        source: the data set.
        name: of the file. One that is absolute or goes up through `..` is allowed: the user named it.

    Raises:
        DataError: it lies outside.
    """
    if not Path(name).expanduser().is_absolute() and ".." not in name.split("/"):
        check_inside(source.root, [name], allow_outside=source.allow_outside)


def contents(folder: Path, number: int = 8) -> str:
    """The first names in a folder, for errors."""
    names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in folder.iterdir())
    more = f" … and {len(names) - number:,} more" if len(names) > number else ""
    return ", ".join(names[:number]) + more if names else "nothing"


def _has(folder: Path, need: str) -> bool:
    # A name from the command line may be absolute, which glob does not accept.
    return any(
        (folder / pattern).exists() or (not Path(pattern).is_absolute() and any(folder.glob(pattern)))
        for pattern in need.split("|")
    )


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def unlike_published(files: Sequence[Path], md5: Mapping[str, str]) -> list[str]:
    """A note if files differ from the published ones.

    Args:
        files: existing files.
        md5: file name → the published MD5; other files are not compared.
    """
    known = [file for file in files if file.name in md5]
    unlike = [
        file.name
        for file in known
        if hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() != md5[file.name]
    ]
    if not unlike:
        return []
    return [f"{len(unlike)} of {len(known)} lists are not what was published, by their MD5: {', '.join(unlike)}"]
