"""A tracking store and our experiment in it, opened and created when needed.

An SQLite store may be opened by many processes: one creates it, one at a time writes to it. MLflow takes a second to
import, so it is imported when it is needed; its client is configured not to retry for minutes.
"""

import contextlib
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ordinalclip.errors import ConfigError
from ordinalclip.runs.run import Run
from ordinalclip.system.files import file_lock

# With MLflow's defaults a request to an unreachable server takes four minutes.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

_MAKING_S = 120.0  # creating the tables takes seconds, and other processes may be first
_PREFIX = "sqlite:///"
_EASED = (
    "PRAGMA synchronous=NORMAL",  # a power cut may lose the last commits, which are copied again
    "PRAGMA cache_size=-65536",  # KiB; the keys of one run are spread over the whole index
    "PRAGMA wal_autocheckpoint=16000",  # pages of 4 KiB; pages written often go to the disk once
)
_SEEN: dict[Path, int | None] = {}  # SQLite files that MLflow may hold connections to in this process
_SCHEMES = ("sqlite:///", "http://", "https://")


def load_mlflow() -> None:
    """Imports MLflow. Must be called while no other thread imports large modules."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401

    for name in ("mlflow", "alembic"):  # MLflow sets its own levels when it is imported
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # tracebacks of errors that it also raises
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it logs every retry


def client_of(uri: str) -> Any:
    """Returns a client of a store. An SQLite file is created if it does not exist.

    Args:
        uri: `sqlite:///path`, or a server's address.
    """
    load_mlflow()
    import mlflow

    return mlflow.MlflowClient(uri)


def sqlite_file(uri: str) -> Path | None:
    """Returns the file of an SQLite store, or None for a server."""
    return Path(uri.removeprefix(_PREFIX)) if uri.startswith(_PREFIX) else None


@contextlib.contextmanager
def sole_writer(file: Path, patience_s: float) -> Iterator[None]:
    """Holds the lock that all writers of this project take before they write to a store.

    Raises:
        LockTimeout: another one has been writing all that time.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(file.with_name(f".{file.name}.lock"), patience_s):
        yield


def make_store(file: Path) -> None:
    """Makes a store where there is none, whole or not at all.

    Two processes that made MLflow's tables at once would leave a file that none can open; so would one that is killed
    at it.
    """
    load_mlflow()
    from mlflow.store.tracking.sqlalchemy_store import (
        SqlAlchemyStore,
    )  # takes seconds to import; other processes do not wait for it

    with sole_writer(file, _MAKING_S):
        if file.exists():
            return
        draft = file.with_name(f".{file.name}.draft")
        _remove(draft)
        SqlAlchemyStore(f"{_PREFIX}{draft}", str(file.parent / "mlartifacts")).engine.dispose()  # makes the tables
        with contextlib.closing(sqlite3.connect(draft)) as database:
            database.execute("PRAGMA journal_mode=wal")  # readers and the writer do not wait for each other
        os.replace(draft, file)
        _remove(draft)


def upgrade_store(file: Path) -> None:
    """Upgrades the database schema of a store made by an older MLflow."""
    with sole_writer(file, _MAKING_S):
        command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"{_PREFIX}{file}"]
        subprocess.run(command, check=True, capture_output=True, timeout=_MAKING_S)


def ease_store(file: Path) -> None:
    """Makes this process's connections to an existing store wait less for the disk."""
    from sqlalchemy import event

    engine = _engine(file)
    if not event.contains(engine, "connect", _ease):
        event.listen(engine, "connect", _ease)
        engine.dispose()


def leave_store(file: Path) -> None:
    """Closes MLflow's connections to a file, which stay open after the file was deleted."""
    _engine(file).dispose()


def _engine(file: Path) -> Any:
    """Returns the SQLAlchemy engine that MLflow uses for a file in this process."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    return SqlAlchemyStore(f"{_PREFIX}{file}", str(file.parent / "mlartifacts")).engine


def _ease(connection: sqlite3.Connection, _record: object) -> None:
    for statement in _EASED:
        connection.execute(statement)


def _remove(draft: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)


class Store:
    """An MLflow store.

    Args:
        uri: `sqlite:///path` for one machine, or a server's address.
        experiment: MLflow's experiment.

    Raises:
        ConfigError: for an address that cannot be used.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        check_uri(uri)
        self.uri, self.experiment = uri, experiment
        self.file: Path | None = sqlite_file(uri)
        self._opened: tuple[Any, str, int | None] | None = None

    def open(self) -> tuple[Any, str]:
        """Returns a client and the experiment's id in the store.

        Raises:
            Exception: whatever MLflow raises where the store does not answer.
        """
        if self._opened is None or self._opened[2] != self._inode():
            client = client_of(self.uri) if self.file is None else self._sqlite_client(self.file)
            self._opened = (client, self._experiment_id(client), self._inode())
        return self._opened[0], self._opened[1]

    def forget(self) -> None:
        """Drops the client and the experiment's id, since store or experiment may have been deleted."""
        self._opened = None

    def writing(self, run: Run, patience_s: float) -> contextlib.AbstractContextManager[None]:
        """Returns the lock of the SQLite store, or of this run's directory if the store is a server.

        Raises:
            Locked: another one has been writing all that time.
        """
        return sole_writer(self.file, patience_s) if self.file is not None else file_lock(run.directory, patience_s)

    def _sqlite_client(self, file: Path) -> Any:
        if not file.exists():
            make_store(file)
        if _SEEN.setdefault(file.absolute(), self._inode()) != self._inode():
            leave_store(file)
        _SEEN[file.absolute()] = self._inode()
        try:
            client = client_of(self.uri)
        except Exception as error:
            if "out-of-date database schema" not in str(error):
                raise
            upgrade_store(file)
            client = client_of(self.uri)
        ease_store(file)
        return client

    def _inode(self) -> int | None:
        """Returns the file's inode, which changes when the store is replaced by another one."""
        if self.file is None:
            return None
        try:
            return self.file.stat().st_ino
        except FileNotFoundError:
            return -1

    def _experiment_id(self, client: Any) -> str:
        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            return self._made_experiment(client)
        if found.lifecycle_stage == "deleted":  # its name stays taken
            client.restore_experiment(found.experiment_id)
        return found.experiment_id

    def _made_experiment(self, client: Any) -> str:
        import mlflow

        location = None if self.file is None else (self.file.absolute().parent / "mlartifacts").as_uri()
        try:
            return client.create_experiment(self.experiment, artifact_location=location)
        except mlflow.exceptions.MlflowException:
            found = client.get_experiment_by_name(self.experiment)
            if found is None:
                raise
            return found.experiment_id  # another process has just created it


def check_uri(uri: str) -> None:
    """Raises a ConfigError for an address that MLflow refuses, or one that contains a password."""
    if not uri.startswith(_SCHEMES):
        remedy = "tracking=local keeps an SQLite file beside the runs; MLflow no longer writes to plain folders"
        raise ConfigError("tracking.uri", uri, "is no address of a store", allowed=" ".join(_SCHEMES), remedy=remedy)
    name, at, _ = uri.partition("://")[2].rpartition("@")
    if at and ":" in name:
        shown = uri.replace(f"{name}@", "…@")
        remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment"
        raise ConfigError("tracking.uri", shown, "holds a password, which every record would keep", remedy=remedy)
