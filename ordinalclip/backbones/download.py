"""One file from an address: whole, of the right hash, or not there at all."""

import hashlib
import urllib.request
from pathlib import Path
from typing import Any

from ordinalclip.datasets.files import write_atomically
from ordinalclip.progress import progress

_BLOCK = 1 << 20
_SILENCE_SECONDS = 30.0  # that a server may take between two blocks


def download(url: str, target: Path, sha256: str) -> str:
    """Fetches a file.

    Args:
        url: its address.
        target: where the finished file shall be.
        sha256: what its SHA-256 begins with; "" is not known.

    Returns:
        "", or why there is no file, as a clause.
    """

    def fill(part: Path) -> None:
        with urllib.request.urlopen(url, timeout=_SILENCE_SECONDS) as response, part.open("wb") as file:
            _copy(response, file, target.name, sha256)

    try:
        write_atomically(target, fill)
    except (OSError, ValueError) as error:  # urllib's and http's errors are among them
        reason = str(error).strip() or type(error).__name__
        return f"downloading {url} failed: {reason}"
    return ""


def _copy(response: Any, file: Any, name: str, sha256: str) -> None:
    expected = int(response.headers.get("Content-Length", 0))
    digest, size = hashlib.sha256(), 0
    with progress(name, expected, "B", unit_scale=True, unit_divisor=1000) as bar:
        while block := response.read(_BLOCK):
            file.write(block)
            digest.update(block)
            size += len(block)
            bar.update(len(block))
    if expected not in (0, size):
        raise ValueError(f"the connection ended after {size} of {expected} bytes")
    if not digest.hexdigest().startswith(sha256):
        raise ValueError(f"what came is another file: its SHA-256 is {digest.hexdigest()[:12]}…, not {sha256[:12]}…")
