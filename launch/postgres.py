"""A private PostgreSQL server: its data in a folder, reached through a Unix socket, without port, password or service.

PostgreSQL refuses to run as root; then it runs as the user `postgres` or `nobody`.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from ordinalclip.errors import ConfigError

_PROGRAMS = ("postgres", "initdb")
_FOLDERS = ("/usr/local/bin", *(str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)))
_START_S = 30.0
_STOP_S = 20.0
_INSTALL = "on Debian: apt-get install postgresql; or name a database: database=postgresql+psycopg://user@host/name"


def find_programs() -> dict[str, str]:
    """Returns program → path of PostgreSQL's programs.

    Raises:
        ConfigError: if they are not installed.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS])
    found = {name: shutil.which(name, path=path) for name in _PROGRAMS}
    if None in found.values():
        raise ConfigError("database", "", "PostgreSQL is not on this machine", remedy=_INSTALL)
    return {name: str(place) for name, place in found.items()}


class Postgres:
    """A running PostgreSQL server.

    Args:
        folder: of its data, which are kept after `stop`; created if missing.

    Raises:
        ConfigError: if PostgreSQL is not installed, or cannot be started in that folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        programs = find_programs()
        self._user = _unprivileged_user()
        # Not below `folder`: a socket's path is limited to 107 characters.
        self._sockets = Path(tempfile.mkdtemp(prefix="ordinalclip-pg-"))
        self._own(self._sockets)
        if not (self.folder / "PG_VERSION").exists():
            self._initialise(programs["initdb"])
        _end_orphan(self.folder)
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
        """Returns SQLAlchemy's address of a database, which is created if missing."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(host=str(self._sockets), user="mlflow", dbname="postgres", autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        return f"postgresql+psycopg://mlflow@/{database}?host={self._sockets}"

    def stop(self) -> None:
        """Shuts the server down cleanly, after its data are on disk."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # does not wait for clients to disconnect
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _initialise(self, initdb: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._own(self.folder)
        # Clients are not authenticated: only the server's user can enter the socket's folder.
        command = [initdb, "-D", str(self.folder), "-U", "mlflow", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._as_user())
        if done.returncode != 0:
            output = (done.stderr or done.stdout).strip().splitlines()
            remedy = "folder=… below one that every user may enter" if self._user else ""
            problem = f"holds no database ({output[-1] if output else '?'})"
            raise ConfigError("folder", str(self.folder), problem, remedy=remedy)

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


def _unprivileged_user() -> pwd.struct_passwd | None:
    """The user to run PostgreSQL as; None = the current user."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _end_orphan(folder: Path) -> None:
    """Ends a PostgreSQL server in this folder whose parent was killed."""
    try:
        pid = int((folder / "postmaster.pid").read_text().split("\n", 1)[0])
        if os.readlink(f"/proc/{pid}/cwd") != str(folder):  # the id was reused by another process
            return
        os.kill(pid, signal.SIGINT)
    except (OSError, ValueError):
        return
    until = time.monotonic() + _STOP_S
    while (folder / "postmaster.pid").exists() and time.monotonic() < until:
        time.sleep(0.1)
