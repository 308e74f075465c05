"""An SQLite store that many processes may come to at once: one makes it, one at a time writes to it."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ordinalclip.tracking.client import load_mlflow
from ordinalclip.tracking.file_lock import held

_MAKING_S = 120.0  # making the tables takes seconds; others may have to go first
_PREFIX = "sqlite:///"
_EASED = (
    "PRAGMA synchronous=NORMAL",  # with the write-ahead log a lost power loses last commits, which are copied again
    "PRAGMA cache_size=-65536",  # KiB: the keys of each run go to places all over the index
    "PRAGMA wal_autocheckpoint=16000",  # pages of 4 KiB: places written to often go to the disk once
)


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store; None for another store."""
    return Path(uri.removeprefix(_PREFIX)) if uri.startswith(_PREFIX) else None


@contextlib.contextmanager
def sole_writer(file: Path, patience_s: float) -> Iterator[None]:
    """Keeps all other writers of ours out of a store.

    Raises:
        Locked: another one has been writing all that time.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with held(file.with_name(f".{file.name}.lock"), patience_s):
        yield


def make_store(file: Path) -> None:
    """Makes a store where there is none, whole or not at all.

    Two processes that made MLflow's tables at once would leave a file that none can open; so would one that is killed
    at it.
    """
    load_mlflow()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # seconds, for which nobody else has to wait

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
    """Brings a store of an older MLflow up to date; what is so already stays as it is."""
    with sole_writer(file, _MAKING_S):
        command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"{_PREFIX}{file}"]
        subprocess.run(command, check=True, capture_output=True, timeout=_MAKING_S)


def ease_store(file: Path) -> None:
    """Has MLflow's connections to a store that is there wait less for the disk, from now on in this process."""
    from sqlalchemy import event

    engine = _engine(file)
    if not event.contains(engine, "connect", _ease):
        event.listen(engine, "connect", _ease)
        engine.dispose()


def leave_store(file: Path) -> None:
    """Ends MLflow's connections to a file of that name, which outlive its deletion."""
    _engine(file).dispose()


def _engine(file: Path) -> Any:
    """What all of MLflow's connections to a file come from in this process."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    return SqlAlchemyStore(f"{_PREFIX}{file}", str(file.parent / "mlartifacts")).engine


def _ease(connection: sqlite3.Connection, _record: object) -> None:
    for statement in _EASED:
        connection.execute(statement)


def _remove(draft: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)
