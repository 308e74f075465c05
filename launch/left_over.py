"""A server whose starter was killed goes on, holds its port and answers, with nothing behind it: it is ended first."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from ordinalclip.errors import ConfigError

_STOP_S = 15.0
_DESTINATION = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"  # which MLflow hands on to its workers


def end_left_over(folder: Path) -> None:
    """Ends MLflow's processes that keep their artifacts in a folder; its lock is held, so no living starter has them.

    Args:
        folder: of the server, absolute.
    """
    for number, seconds in ((signal.SIGTERM, _STOP_S), (signal.SIGKILL, _STOP_S)):
        until = time.monotonic() + seconds
        left = list(processes_of(folder))
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while left and time.monotonic() < until:
            time.sleep(0.1)
            left = list(processes_of(folder))
        if not left:
            return


def check_port(host: str, port: int) -> None:
    """Raises a ConfigError where somebody listens already: whoever it is would answer in the new server's place."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left may be taken again
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError("port", port, f"cannot be used ({error.strerror})", remedy="another: port=5001") from None


def processes_of(folder: Path) -> Iterator[int]:
    """MLflow's processes that keep their artifacts in a folder."""
    uri = (folder / "artifacts").as_uri()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # another user's, or gone
            words = (place / "cmdline").read_bytes().decode(errors="replace").split("\0")
            settings = (place / "environ").read_bytes().decode(errors="replace").split("\0")
            named = uri in words or f"{_DESTINATION}={uri}" in settings
            if named and int(place.name) != os.getpid():
                yield int(place.name)
