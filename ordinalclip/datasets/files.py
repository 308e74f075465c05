"""Writing files so that nobody ever sees half of one."""

import contextlib
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

_ABANDONED_S = 3600.0


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it there.

    Several processes may write the same path at once: each has its own temporary file and the last rename stays.

    Args:
        path: where the finished file shall be; its folder is made.
        write: called with the temporary path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")  # process ids repeat on a shared file system
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def sweep_drafts(folder: Path) -> None:
    """Removes what killed processes were about to write into a folder: temporary files that are an hour old."""
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if part.stat().st_mtime < time.time() - _ABANDONED_S:
                part.unlink()
