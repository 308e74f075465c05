"""What every layout of a public data set does with its folder: find it, check that it is complete, stay inside it.

A loader calls, in this order, `find_root`, which checks that the lists it is given lie within the folder; `check_list`
for other lists; readers of lists (`table_files`); `require_files` for the files that lists name; and `build_manifest`,
which calls `check_inside` for every image before it opens one. `unlike_published` compares lists with the published
ones to the byte; a difference is noted, not refused, since a copy may have other line ends.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ordinalclip.datasets.bad_rows import listed
from ordinalclip.errors import ConfigError, DataError


def find_root(root: str, *, name: str, needs: Sequence[str], obtain: str = "", allow_outside: bool = False) -> Path:
    """The folder of a data set, with all that makes it one.

    Args:
        root: as configured, `dataset.root`.
        name: of the data set, for errors.
        needs: what has to be in it: files, folders, or patterns such as `fold_*_data.txt`; `a|b` is one of the two.
        obtain: where the data come from, told where they are missing.
        allow_outside: let what is needed be links that lead out of the folder.

    Returns:
        The absolute folder.

    Raises:
        ConfigError: there is no such folder, or none of `needs` is in it: it is another one.
        DataError: some of `needs` are there and some are not: half of a copy; or some lead out of the folder.
    """
    folder = Path(root).expanduser().absolute()
    allowed = f"the folder of {name}, in which there are {', '.join(needs)}"
    if not folder.is_dir():
        kind = "is a file, not a folder" if folder.exists() else "is no folder"
        raise ConfigError("dataset.root", root, f"{folder} {kind}", allowed=allowed, remedy=obtain)
    missing = [need for need in needs if not _has(folder, need)]
    if not missing:
        for pattern in (pattern for need in needs for pattern in need.split("|")):
            if (folder / pattern).exists():
                check_list(folder, pattern, allow_outside=allow_outside)
        return folder
    nearby = [*sorted(child for child in folder.iterdir() if child.is_dir()), folder.parent]
    nearer = next((place for place in nearby if all(_has(place, need) for need in needs)), None)
    if nearer is not None:
        problem = f"{name} does not lie there, but in {nearer}"
        raise ConfigError("dataset.root", root, problem, allowed=allowed, remedy=f"dataset.root={nearer}")
    if len(missing) == len(needs):
        problem = f"{folder} is not {name}: it holds {contents(folder)}"
        raise ConfigError("dataset.root", root, problem, allowed=allowed, remedy=obtain)
    told = f"{folder}: half of {name}; there is no {' and no '.join(missing)}\n  it holds {contents(folder)}"
    raise DataError(f"{told}\n  what to do: copy or unpack the rest" + (f"; {obtain}" if obtain else ""))


def require_files(root: Path, paths: Sequence[str], *, what: str, obtain: str = "") -> None:
    """See that files are there, all at once, before any is opened.

    Args:
        root: folder of the data set.
        paths: relative to it.
        what: names them: "images that fold_0_data.txt names".
        obtain: where the data come from.

    Raises:
        DataError: with the number of files that are missing and the first of them, and what lies where they should.
    """
    missing = [path for path in paths if not (root / path).is_file()]
    if not missing:
        return
    place = (root / missing[0]).parent
    found = f"{place} holds {contents(place)}" if place.is_dir() else f"there is no folder {place}"
    remedy = "the set seems half copied: copy or unpack the rest"
    if len(missing) == len(paths):
        remedy = "see whether dataset.root is the right folder, and the images are unpacked"
    raise DataError(
        f"{root}: {len(missing):,} of {len(paths):,} {what} are not there:\n{listed(missing)}\n  {found}\n"
        f"  what to do: {remedy}" + (f"; {obtain}" if obtain else "")
    )


def check_inside(root: Path, paths: Sequence[str], *, allow_outside: bool = False) -> None:
    """See that no path leads out of the data set's folder, through `..`, as an absolute path or by a symbolic link.

    The folder itself may be a link. Links that stay within it are none of our business.

    Args:
        root: folder of the data set.
        paths: relative to it; they need not exist.
        allow_outside: the user has said that they may.

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


def check_list(root: Path, name: str, *, allow_outside: bool = False) -> None:
    """See that a list or table that is about to be read does not lie outside of the data set's folder by a link.

    Args:
        root: folder of the data set.
        name: of the file; one that is absolute or goes up through `..` has been named by the user.
        allow_outside: the user has said that it may.

    Raises:
        DataError: it does.
    """
    if not Path(name).expanduser().is_absolute() and ".." not in name.split("/"):
        check_inside(root, [name], allow_outside=allow_outside)


def contents(folder: Path, number: int = 8) -> str:
    """The first names in a folder, for errors."""
    names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in folder.iterdir())
    more = f" … and {len(names) - number:,} more" if len(names) > number else ""
    return ", ".join(names[:number]) + more if names else "nothing"


def _has(folder: Path, need: str) -> bool:
    # A name that is typed may be absolute, which is no pattern.
    return any(
        (folder / pattern).exists() or (not Path(pattern).is_absolute() and any(folder.glob(pattern)))
        for pattern in need.split("|")
    )


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def unlike_published(files: Sequence[Path], md5: Mapping[str, str]) -> list[str]:
    """A note where files differ from what was published.

    Args:
        files: that there are.
        md5: file name → the published MD5, for those that have one.
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
