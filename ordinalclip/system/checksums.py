"""SHA-256 of files: SHA256SUMS of a folder as `sha256sum -c` reads it, and remembered sums of large files."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from ordinalclip.errors import DataError
from ordinalclip.system.files import write_atomically

SUMS = "SHA256SUMS"


def format_sums(folder: Path, names: Iterable[str]) -> str:
    """Content of a SHA256SUMS over some files of a folder."""
    return "".join(f"{_sha256(folder / name)}  {name}\n" for name in names)


def check_sums(folder: Path, needed: Iterable[str], remedy: str) -> None:
    """Compares files with a folder's SHA256SUMS, before any of them is used.

    Args:
        folder: one that has it.
        needed: files that have to be named in it; all that it names are compared.
        remedy: what is to be done with what was damaged.

    Raises:
        DataError: a file is missing, truncated or another than was written, or lies outside of the folder.
    """
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / SUMS}: cannot be read ({error})\n  what to do: {remedy}") from None
    sums = {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}
    for name in sorted({*sums, *needed}):
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"{folder / SUMS}: names {name}, which is not in the folder")
        if not path.is_file():
            raise DataError(f"{path}: is missing\n  what to do: {remedy}")
        if _sha256(path) != sums.get(name):
            problem = "is not the file that was written (its SHA-256 is another); nothing was loaded"
            raise DataError(f"{path}: {problem}\n  what to do: {remedy}")


def hash_of_sums(folder: Path) -> str:
    """SHA-256 of a folder's SHA256SUMS, which identifies all files that it names; empty if there is none."""
    return _sha256(folder / SUMS) if (folder / SUMS).is_file() else ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached_sha256(path: Path, cache_dir: Path) -> str:
    """SHA-256 of a file, from memory where its size and time of change are those remembered.

    Args:
        path: the file.
        cache_dir: holds the memory, `sha256.json`; a lost or damaged one costs time only.
    """
    stat = path.stat()
    key, seen = str(path.resolve()), [stat.st_size, stat.st_mtime_ns]
    memory_file = cache_dir / "sha256.json"
    memory = _recall(memory_file)
    if key in memory and memory[key][:2] == seen:
        return str(memory[key][2])
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    # Another process may have written since: read again, so that little is lost.
    text = json.dumps(_recall(memory_file) | {key: [*seen, digest]}, indent=1)
    write_atomically(memory_file, lambda part: part.write_text(text, encoding="utf-8"))
    return digest


def _recall(memory_file: Path) -> dict[str, list[int | str]]:
    try:
        memory = json.loads(memory_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return memory if isinstance(memory, dict) else {}
