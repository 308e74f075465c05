"""What the Hugging Face hub says a file's SHA-256 is, from what its library left beside the file."""

import re
from pathlib import Path

_SHA256 = re.compile(r"[0-9a-f]{64}")


def hub_sha256(file: Path) -> str:
    """The SHA-256 that a file of weights had on the hub, or "" where nothing tells it.

    Large files are named by it in the hub's cache (`blobs/<SHA-256>`, which `snapshots/…` link to); of a file that was
    fetched into a folder, `.cache/huggingface/download/<file>.metadata` holds it in its second line, the ETag. Small
    files have a hash of another kind there.

    Args:
        file: as it was found.
    """
    blob = file.resolve()
    if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name):
        return blob.name
    note = file.parent / ".cache" / "huggingface" / "download" / f"{file.name}.metadata"
    try:
        lines = note.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    etag = lines[1].strip() if len(lines) > 1 else ""
    return etag if _SHA256.fullmatch(etag) else ""
