"""SHA-256 of weight files, remembered, since hashing a gigabyte at every start takes seconds."""

import hashlib
import json
from pathlib import Path

from ordinalclip.datasets.files import write_atomically


def sha256_of(path: Path, cache_dir: Path) -> str:
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
