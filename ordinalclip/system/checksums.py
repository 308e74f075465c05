"""SHA-256 of files: SHA256SUMS of a folder as `sha256sum -c` reads it, and remembered sums of large files."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from ordinalclip.errors import DataError
from ordinalclip.system.files import write_atomically

SUMS = "SHA256SUMS"


def format_sums(folder: Path, names: Iterable[str]) -> str:
    """Returns the content of a SHA256SUMS file for some files of a folder."""
    return "".join(f"{_sha256(folder / name)}  {name}\n" for name in names)


def check_sums(folder: Path, needed: Iterable[str], remedy: str) -> None:
    """Compares the files of a folder with its SHA256SUMS.

    Args:
        folder: the folder, with a SHA256SUMS.
        needed: files that it must list; all listed files are compared.
        remedy: for the message, what to do about a damaged file.

    Raises:
        DataError: a file is missing, has another checksum, or lies outside the folder.
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
    """Returns the SHA-256 of a folder's SHA256SUMS, which identifies all files that it lists; "" if there is none."""
    return _sha256(folder / SUMS) if (folder / SUMS).is_file() else ""


def cached_sha256(path: Path, cache_dir: Path) -> str:
    """Returns the SHA-256 of a file, cached by its path, size and modification time.

    Args:
        path: the file.
        cache_dir: its `sha256.json` is the cache; it may be deleted at any time.
    """
    stat = path.stat()
    key, version = str(path.resolve()), [stat.st_size, stat.st_mtime_ns]
    cache_file = cache_dir / "sha256.json"
    cached = _read_cache(cache_file)
    if key in cached and cached[key][:2] == version:
        return str(cached[key][2])
    digest = _sha256(path)
    # Another process may have written the cache meanwhile, so it is read again.
    text = json.dumps(_read_cache(cache_file) | {key: [*version, digest]}, indent=1)
    write_atomically(cache_file, lambda part: part.write_text(text, encoding="utf-8"))
    return digest


def _read_cache(cache_file: Path) -> dict[str, list[int | str]]:
    try:
        cached = json.loads(cache_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cached if isinstance(cached, dict) else {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
