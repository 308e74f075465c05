"""What a write that failed failed of, and where: torch tells neither."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

_PROBE = 1 << 16  # bytes that a disk with room has room for
_BLOCK = 512  # bytes, in which st_blocks counts


@contextlib.contextmanager
def told(draft: Path, what: Path) -> Iterator[None]:
    """Raises what a failed write failed of as an OSError that names the file.

    Args:
        draft: what is written.
        what: the file that it was to become, which stays as it is.

    Raises:
        OSError: a full disk or quota, a file that is too large, a disk that fails.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else _cause(draft)
        if cause is None or cause.errno is None:
            raise
        kept = "what was there before is kept" if what.exists() else "there was none before"
        problem = f"{os.strerror(cause.errno)}; {kept}, and the same command goes on from the last checkpoint"
        raise OSError(cause.errno, problem, str(what)) from error


def overwrite(path: Path, text: str) -> None:
    """Writes a small file where it lies, which a full disk has room for; what was there before is kept if it has not.

    Args:
        path: of a file that is there.
        text: its new content.

    Raises:
        OSError: the new content needs more room than the old one had, or cannot be written.
    """
    content = text.encode()
    with path.open("r+b") as file:
        if len(content) > os.fstat(file.fileno()).st_blocks * _BLOCK:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        file.write(content)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def _cause(draft: Path) -> OSError | None:
    """What happens when a little more is written; None where that can be done."""
    try:
        with draft.open("ab") as file:
            file.write(b"\0" * _PROBE)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error
    return None
