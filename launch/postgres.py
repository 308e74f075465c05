"""A server whose starter was killed goes on, holds its port and answers, with nothing behind it: it is ended first."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ordinalclip.errors import ConfigError

_END_S = 15.0
_DESTINATION = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"  # which MLflow hands on to its workers


def end_left_over(folder: Path) -> None:
    """Ends MLflow's processes that keep their artifacts in a folder; its lock is held, so no living starter has them.

    Args:
        folder: of the server, absolute.
    """
    for number, seconds in ((signal.SIGTERM, _END_S), (signal.SIGKILL, _END_S)):
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


# MERGED: """A PostgreSQL of our own, its data in a folder, reached by a socket alone: no port, no password, no system service.
#
# PostgreSQL refuses to run as root; there it runs as the user `postgres` or `nobody`.
# """


_PROGRAMS = ("postgres", "initdb")
_PLACES = ("/usr/local/bin", *(str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)))
_START_S = 30.0
_STOP_S = 20.0
_INSTALL = "on Debian: apt-get install postgresql; or name a database: database=postgresql+psycopg://user@host/name"


def find_programs() -> dict[str, str]:
    """Paths of PostgreSQL's programs.

    Raises:
        ConfigError: they are not on this machine.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), *_PLACES])
    found = {name: shutil.which(name, path=path) for name in _PROGRAMS}
    if None in found.values():
        raise ConfigError("database", "", "PostgreSQL is not on this machine", remedy=_INSTALL)
    return {name: str(place) for name, place in found.items()}


class Postgres:
    """A running PostgreSQL; its data outlive it.

    Args:
        folder: of its data, made where there is none.

    Raises:
        ConfigError: it is not installed, or cannot be started in that folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        programs = find_programs()
        self._user = _unprivileged()
        # A socket's path may have 107 characters, fewer than some folders have.
        self._sockets = Path(tempfile.mkdtemp(prefix="ordinalclip-pg-"))
        self._own(self._sockets)
        if not (self.folder / "PG_VERSION").exists():
            self._initialise(programs["initdb"])
        _end_left_over(self.folder)
        log = self.folder.with_suffix(".log")
        with log.open("ab") as output:
            command = [
                programs["postgres"],
                "-D",
                str(self.folder),
                "-k",
                str(self._sockets),
                "-c",
                "listen_addresses=",
            ]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **self._as_user(),
            )
        try:
            self._wait(log)
        except BaseException:
            self.stop()
            raise

    def url(self, database: str) -> str:
        """The address of a database for SQLAlchemy; the database is made where there is none."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(host=str(self._sockets), user="mlflow", dbname="postgres", autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        return f"postgresql+psycopg://mlflow@/{database}?host={self._sockets}"

    def stop(self) -> None:
        """Ends it in order: what is written is on disk."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # without waiting for clients to leave
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _initialise(self, initdb: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._own(self.folder)
        # Whoever reaches the socket's folder, which is its user's alone, is trusted.
        command = [initdb, "-D", str(self.folder), "-U", "mlflow", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._as_user())
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            remedy = "folder=… below one that every user may enter" if self._user else ""
            raise ConfigError(
                "folder", str(self.folder), f"holds no database ({said[-1] if said else '?'})", remedy=remedy
            )

    def _wait(self, log: Path) -> None:
        import psycopg

        until = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(host=str(self._sockets), user="mlflow", dbname="postgres").close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    problem = f"PostgreSQL did not start in it; see {log}"
                    raise ConfigError("folder", str(self.folder), problem) from error
            time.sleep(0.1)

    def _own(self, folder: Path) -> None:
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        folder.chmod(0o700)

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": [], "cwd": "/"}


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to run as; None: as who we are."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _end_left_over(folder: Path) -> None:
    """Ends a PostgreSQL in this folder whose starter was killed."""
    try:
        pid = int((folder / "postmaster.pid").read_text().split("\n", 1)[0])
        if os.readlink(f"/proc/{pid}/cwd") != str(folder):  # the number is another process's by now
            return
        os.kill(pid, signal.SIGINT)
    except (OSError, ValueError):
        return
    until = time.monotonic() + _STOP_S
    while (folder / "postmaster.pid").exists() and time.monotonic() < until:
        time.sleep(0.1)
