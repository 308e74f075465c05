"""The cache of decoded images and features: its stores, their sizes and last use, and the space for more.

`<cache>/<kind>/<key>/<images>/` is one store, which can be computed again. Its `about.json` describes it; the
modification time of that file is the time of its last use. Imports no torch.
"""

import contextlib
import json
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ordinalclip.system.files import write_atomically

KINDS = ("images", "features")
GB = 1e9
_RESERVED_SHARE = 0.1  # of the free disk space, for checkpoints and other processes


@dataclass(frozen=True)
class Store:
    """One folder of decoded images or features.

    Attributes:
        path: the folder.
        kind: "images" or "features".
        about: content of its about.json.
        num_bytes: size of its files.
        used: time of its last use, in seconds since 1970.
    """

    path: Path
    kind: str
    about: dict[str, Any]
    num_bytes: int
    used: float


def write_about(folder: Path, **about: object) -> None:
    """Writes the description of a store unless it exists."""
    if not (folder / "about.json").is_file():
        text = json.dumps(about, ensure_ascii=False) + "\n"
        write_atomically(folder / "about.json", lambda path: path.write_text(text, encoding="utf-8"))


def mark_used(folder: Path) -> None:
    """Sets the last use of a store to now; does nothing if the cache is read-only."""
    with contextlib.suppress(OSError):
        os.utime(folder / "about.json")


def list_stores(cache_dir: Path) -> list[Store]:
    """Returns all stores of a cache, the least recently used first."""
    folders = [(kind, path) for kind in KINDS for path in cache_dir.glob(f"{kind}/*/*") if path.is_dir()]
    return sorted((_store(path, kind) for kind, path in folders), key=lambda store: store.used)


def remove_store(store: Store) -> None:
    """Deletes a store. A run that reads from it keeps its memory map, or computes again."""
    shutil.rmtree(store.path, ignore_errors=True)
    with contextlib.suppress(OSError):  # not empty: other stores have the same key
        store.path.parent.rmdir()


def space_problem(cache_dir: Path, num_bytes: int, limit_gb: float | None) -> str:
    """Returns why the cache has no space for another store, with a remedy, or "" if it has.

    Args:
        cache_dir: the cache.
        num_bytes: size of the new store.
        limit_gb: limit for all stores together; None if only the disk limits them.
    """
    remedy = "make room with `make clean-cache`"
    if limit_gb is not None:
        held = sum(store.num_bytes for store in list_stores(cache_dir))
        if held + num_bytes > limit_gb * GB:
            have = f"images and features in {cache_dir} hold {held / GB:.3g} GB"
            what_to_do = f"{remedy}, or raise it" if held > 0 else "raise it"
            return f"{num_bytes / GB:.3g} GB more go over cache.limit_gb={limit_gb:g} ({have}); {what_to_do}"
    free = shutil.disk_usage(next(path for path in (cache_dir, *cache_dir.absolute().parents) if path.exists())).free
    if num_bytes > (1 - _RESERVED_SHARE) * free:
        return (
            f"{num_bytes / GB:.3g} GB more are too much for the disk of {cache_dir} ({free / GB:.3g} GB free); {remedy}"
        )
    return ""


def _store(folder: Path, kind: str) -> Store:
    total, newest = 0, 0.0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # another process has just removed it
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                continue
            total, newest = total + status.st_size, max(newest, status.st_mtime)
    about: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        newest = (folder / "about.json").stat().st_mtime
    return Store(folder, kind, about, total, newest)
