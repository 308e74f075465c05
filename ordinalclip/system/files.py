"""Files: written atomically, errors that name the file and the cause, and locks that end with their process."""

import contextlib
import errno
import fcntl
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

_ABANDONED_AFTER_S = 3600.0
_PROBE_BYTES = 1 << 16
_BLOCK_BYTES = 512  # the unit of st_blocks
_LOCK_RETRY_S = 0.02
_LOCKS_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)  # by the file system


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file completely or not at all: `write` fills a temporary file, which is then renamed to `path`.

    Several processes may write the same path at once: each has its own temporary file, and the last rename wins.

    Args:
        path: the file; its folder is created.
        write: called with the path of the temporary file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")  # process ids repeat on a shared file system
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def remove_abandoned_drafts(folder: Path) -> None:
    """Deletes temporary files that killed processes left in a folder more than an hour ago."""
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if part.stat().st_mtime < time.time() - _ABANDONED_AFTER_S:
                part.unlink()


@contextlib.contextmanager
def explain_write_errors(draft: Path, target: Path) -> Iterator[None]:
    """Turns a failed write into an OSError that names the cause and the file, which torch's own errors do not.

    Args:
        draft: the temporary file that is written in the context.
        target: the file that it will replace; named in the message.

    Raises:
        OSError: the disk or quota is full, the file is too large, or the disk fails.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else _probe_write(draft)
        if cause is None or cause.errno is None:
            raise
        kept = "what was there before is kept" if target.exists() else "there was none before"
        problem = f"{os.strerror(cause.errno)}; {kept}, and the same command goes on from the last checkpoint"
        raise OSError(cause.errno, problem, str(target)) from error


def overwrite_in_place(path: Path, text: str) -> None:
    """Overwrites a small file within the disk blocks that it already has, which works on a full disk.

    Args:
        path: an existing file.
        text: its new content.

    Raises:
        OSError: the new content needs more blocks than the file has (it is left unchanged), or cannot be written.
    """
    content = text.encode()
    with path.open("r+b") as file:
        if len(content) > os.fstat(file.fileno()).st_blocks * _BLOCK_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        file.write(content)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def _probe_write(draft: Path) -> OSError | None:
    """Returns the error of appending a few bytes to a file, or None if that works."""
    try:
        with draft.open("ab") as file:
            file.write(b"\0" * _PROBE_BYTES)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error
    return None


class LockTimeout(RuntimeError):
    """Another process or thread has held the lock for the whole time that was waited."""


@contextlib.contextmanager
def file_lock(path: Path, patience_s: float) -> Iterator[None]:
    """Holds an exclusive lock, which the kernel releases however the process ends.

    On a file system without locks the context is entered without one; callers must tolerate that.

    Args:
        path: a file, which is created, or an existing folder.
        patience_s: seconds to wait for the lock.

    Raises:
        LockTimeout: another process or thread held the lock all that time.
    """
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _acquire(handle, path, patience_s)
        yield
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough: a process forked meanwhile shares the handle
        os.close(handle)


def _acquire(handle: int, path: Path, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LockTimeout(f"{path}: another process has held its lock for {patience_s:g} s") from None
            time.sleep(_LOCK_RETRY_S)
        except OSError as error:
            if error.errno in _LOCKS_UNSUPPORTED:
                return
            raise
