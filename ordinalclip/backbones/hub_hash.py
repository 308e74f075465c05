"""What the Hugging Face hub says a file's SHA-256 is, from what its library, or we, left beside the file."""

import re
from pathlib import Path

_SHA256 = re.compile(r"[0-9a-f]{64}")


def hub_sha256(file: Path) -> str:
    """The SHA-256 that a file of weights had on the hub, or "" where nothing tells it.

    A file that was gathered from the hub's cache has it in `<file>.sha256`, as `sha256sum` writes it. Large files are
    named by it in the hub's cache (`blobs/<SHA-256>`, which `snapshots/…` link to); of a file that was fetched into a
    folder, `.cache/huggingface/download/<file>.metadata` holds it in its second line, the ETag. Small files have a hash
    of another kind there.

    Args:
        file: as it was found.
    """
    blob = file.resolve()
    if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name):
        return blob.name
    own = _words(note_of(file))
    if own and _SHA256.fullmatch(own[0]):
        return own[0]
    told = _words(file.parent / ".cache" / "huggingface" / "download" / f"{file.name}.metadata")
    etag = told[1] if len(told) > 1 else ""
    return etag if _SHA256.fullmatch(etag) else ""


def note_of(file: Path) -> Path:
    """Where the SHA-256 of a gathered file is written down."""
    return file.with_name(f"{file.name}.sha256")


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return []
