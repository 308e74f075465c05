"""Files: written atomically, errors that name the file and the cause, and locks that end with their process."""

import contextlib
import errno
import fcntl
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

_ABANDONED_S = 3600.0

_PROBE = 1 << 16  # bytes that a disk with room has room for
_BLOCK = 512  # bytes, in which st_blocks counts
_PAUSE_S = 0.02
_UNKNOWN_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)  # a file system without such locks


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


def remove_abandoned_drafts(folder: Path) -> None:
    """Removes what killed processes were about to write into a folder: temporary files that are an hour old."""
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if part.stat().st_mtime < time.time() - _ABANDONED_S:
                part.unlink()


@contextlib.contextmanager
def explain_write_errors(draft: Path, what: Path) -> Iterator[None]:
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


def overwrite_in_place(path: Path, text: str) -> None:
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


class LockTimeout(RuntimeError):
    """Another process holds the lock."""


@contextlib.contextmanager
def file_lock(path: Path, patience_s: float) -> Iterator[None]:
    """Holds the lock of a file, which is made, or of a folder, which exists.

    Where the file system has no locks, nothing is held: what is guarded by it must bear that.

    Args:
        path: of the file or folder.
        patience_s: how long to wait for it.

    Raises:
        LockTimeout: another process, or thread, has held it all that time.
    """
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _take(handle, path, patience_s)
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)  # by word: a process forked in between has the handle, too
        os.close(handle)


def _take(handle: int, path: Path, patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise LockTimeout(f"{path}: another process has held its lock for {patience_s:g} s") from None
            time.sleep(_PAUSE_S)
        except OSError as error:
            if error.errno in _UNKNOWN_HERE:
                return
            raise
