"""`python -m launch.mlflow_server`: an MLflow server with a PostgreSQL database, for runs on many machines.

It runs in the foreground until Ctrl-C, and ends its database and workers when it ends.
"""

import configparser
import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated
from urllib.request import urlopen

import yaml

from launch.postgres import Postgres
from ordinalclip.cli.command import run_command
from ordinalclip.config.kinds import Between
from ordinalclip.config.signatures import check_target
from ordinalclip.errors import Busy, ConfigError
from ordinalclip.system.files import LockTimeout, file_lock

log = logging.getLogger("ordinalclip")

_START_S = 120.0
_STOP_S = 15.0
_ARTIFACTS_VARIABLE = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"  # set by MLflow in its workers
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_USAGE = """\
OrdinalCLIP starts an MLflow server with a PostgreSQL database and a folder of artifacts, and ends both with Ctrl-C.

  python -m launch.mlflow_server [folder=.cache/mlflow-server] [host=127.0.0.1] [port=5000] [auth=true] [database=URL]

  folder    of the database, the artifacts and the logs; what is there is gone on with
  host      127.0.0.1: this machine alone; 0.0.0.0: all that reach it
  auth      asks for a name and a password; the first start writes those of its administrator to folder/admin.ini
  database  one that there is, postgresql+psycopg://user@host/name, in place of one in the folder

Runs go there with tracking=server and MLFLOW_TRACKING_URI set to what is printed."""


@dataclass(frozen=True)
class ServerSettings:
    """Keys of the command line.

    Attributes:
        folder: of the database, the artifacts and the logs.
        host: address to listen on.
        port: port to listen on.
        auth: whether clients need a name and a password.
        database: SQLAlchemy's address of a database; null = PostgreSQL in the folder.
    """

    folder: str = ".cache/mlflow-server"
    host: str = "127.0.0.1"
    port: Annotated[int, Between(1, 65535)] = 5000
    auth: bool = False
    database: str | None = None


def main() -> None:
    """Entry point."""
    run_command(serve, _USAGE, needs_words=False)


def serve(words: Sequence[str]) -> None:
    """Runs a server until SIGINT, SIGTERM or SIGHUP.

    Args:
        words: of the form key=value.

    Raises:
        ConfigError: for invalid settings.
        Busy: if another server uses that folder.
    """
    settings = _read_settings(words)
    folder = Path(settings.folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    try:
        with file_lock(folder / ".lock", 0):
            end_orphaned_server(folder)
            check_port(settings.host, settings.port)
            with _database(settings, folder) as (database, users):
                _serve(settings, folder, database, users, stop)
    except LockTimeout:
        raise Busy(f"{folder}: there is a server in it already") from None


def _read_settings(words: Sequence[str]) -> ServerSettings:
    typed = {key: yaml.safe_load(value) for key, _, value in (word.partition("=") for word in words)}
    if "database" in typed and typed["database"] is not None and "://" not in str(typed["database"]):
        raise ConfigError("database", typed["database"], "is no address", allowed="postgresql+psycopg://user@host/name")
    check_target({"_target_": "launch.mlflow_server.ServerSettings"} | typed, "")
    if typed.get("auth") and find_spec("flask_wtf") is None:
        raise ConfigError("auth", "true", "needs a package that is not here", remedy="pip install 'mlflow[auth]'")
    return ServerSettings(**typed)


def end_orphaned_server(folder: Path) -> None:
    """Ends an MLflow server whose parent was killed: it would keep the port and answer without a database.

    Args:
        folder: of the server, absolute; the caller holds its lock, so no living parent uses it.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + _STOP_S
        left = list(processes_of(folder))
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while left and time.monotonic() < until:
            time.sleep(0.1)
            left = list(processes_of(folder))
        if not left:
            return


def processes_of(folder: Path) -> Iterator[int]:
    """Yields the ids of MLflow processes whose artifacts are in a folder."""
    uri = (folder / "artifacts").as_uri()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # another user's process, or one that has ended
            words = (place / "cmdline").read_bytes().decode(errors="replace").split("\0")
            settings = (place / "environ").read_bytes().decode(errors="replace").split("\0")
            named = uri in words or f"{_ARTIFACTS_VARIABLE}={uri}" in settings
            if named and int(place.name) != os.getpid():
                yield int(place.name)


def check_port(host: str, port: int) -> None:
    """Raises ConfigError if another process listens on the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # allows a port that was just released
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError("port", port, f"cannot be used ({error.strerror})", remedy="another: port=5001") from None


@contextlib.contextmanager
def _database(settings: ServerSettings, folder: Path) -> Iterator[tuple[str, str]]:
    """Yields the addresses of the databases of runs and of users."""
    if settings.database is not None:
        yield settings.database, settings.database
        return
    postgres = Postgres(folder / "postgres")
    try:
        yield postgres.url("mlflow"), postgres.url("users")
    finally:
        postgres.stop()


def _serve(settings: ServerSettings, folder: Path, database: str, users: str, stop: threading.Event) -> None:
    command = [sys.executable, "-m", "mlflow", "server", "-w", "1", "--backend-store-uri", database]
    command += ["--artifacts-destination", (folder / "artifacts").as_uri(), "--serve-artifacts"]
    command += ["--host", settings.host, "--port", str(settings.port)]
    # One worker and no job service: 2 processes and 0.5 GB instead of 15 and 3.1.
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    if settings.host not in _LOOPBACK:
        command += ["--allowed-hosts", ",".join(_own_names())]
    if settings.auth:
        command += ["--app-name", "basic-auth"]
        env |= _auth_environment(folder, users)
    with (folder / "server.log").open("ab") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output, start_new_session=True)
    try:
        _wait_until_ready(process, settings, folder, stop)
        while not stop.wait(0.5):
            if process.poll() is not None:
                raise RuntimeError(f"the server ended by itself; see {folder / 'server.log'}")
    finally:
        _end(process)
    log.info("stopped; %s keeps what it has", folder)


def _wait_until_ready(
    process: subprocess.Popen[bytes], settings: ServerSettings, folder: Path, stop: threading.Event
) -> None:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    until = time.monotonic() + _START_S
    while not stop.is_set():
        with contextlib.suppress(OSError), urlopen(f"http://{host}:{settings.port}/health", timeout=2):
            if process.poll() is None:
                break
        if process.poll() is not None or time.monotonic() > until:
            taken = f"did not start; see {folder / 'server.log'}"
            raise ConfigError("port", settings.port, taken, remedy="another port, if this one is taken: port=5001")
        stop.wait(0.2)
    else:
        return
    name = socket.getfqdn() if settings.host in ("0.0.0.0", "::") else settings.host
    print(f"export MLFLOW_TRACKING_URI=http://{name}:{settings.port}")
    if settings.auth:
        print(f"# the administrator's name and password: {folder / 'admin.ini'}")
        print("# for each user: export MLFLOW_TRACKING_USERNAME=… MLFLOW_TRACKING_PASSWORD=…")
    print("# then: python -m ordinalclip.train tracking=server …    Ctrl-C here ends the server", flush=True)


def _own_names() -> list[str]:
    """Host names accepted in requests; by default, MLflow only accepts addresses of private networks."""
    from mlflow.server.security_utils import get_default_allowed_hosts

    names = {socket.gethostname(), socket.getfqdn()}
    return [*get_default_allowed_hosts(), *sorted(names), *(f"{name}:*" for name in sorted(names))]


def _auth_environment(folder: Path, database: str) -> dict[str, str]:
    """Environment of a server with authentication; creates the administrator's password at the first start."""
    file = folder / "admin.ini"
    if not file.exists():
        ini = configparser.ConfigParser(interpolation=None)
        ini["mlflow"] = {
            "default_permission": "EDIT",
            "database_uri": database,
            "admin_username": "admin",
            "admin_password": secrets.token_urlsafe(16),
            "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        }
        _write(file, ini)
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(file)
    ini["mlflow"]["database_uri"] = database  # the socket's folder differs at each start
    _write(file, ini)
    return {"MLFLOW_AUTH_CONFIG_PATH": str(file), "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16)}


def _write(file: Path, ini: configparser.ConfigParser) -> None:
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as output:
        ini.write(output)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the server's process group, since its workers would outlive it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
            if not _group_lives(process.pid):
                return


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
