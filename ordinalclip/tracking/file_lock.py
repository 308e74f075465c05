"""A lock that dies with its process: the kernel gives it back, however the process ends."""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

_PAUSE_S = 0.02
_UNKNOWN_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)  # a file system without such locks


class Locked(RuntimeError):
    """Another process holds the lock."""


@contextlib.contextmanager
def held(path: Path, patience_s: float) -> Iterator[None]:
    """Holds the lock of a file, which is made, or of a folder, which exists.

    Where the file system has no locks, nothing is held: what is guarded by it must bear that.

    Args:
        path: of the file or folder.
        patience_s: how long to wait for it.

    Raises:
        Locked: another process, or thread, has held it all that time.
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
                raise Locked(f"{path}: another process has held its lock for {patience_s:g} s") from None
            time.sleep(_PAUSE_S)
        except OSError as error:
            if error.errno in _UNKNOWN_HERE:
                return
            raise
