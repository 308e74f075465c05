"""A tracking store and our experiment in it, opened and made where that is needed."""

import contextlib
from pathlib import Path
from typing import Any

from ordinalclip.errors import ConfigError
from ordinalclip.runs import Run
from ordinalclip.tracking.client import client_of
from ordinalclip.tracking.file_lock import held
from ordinalclip.tracking.sqlite import ease_store, leave_store, make_store, sole_writer, sqlite_file, upgrade_store

_SEEN: dict[Path, int | None] = {}  # SQLite files that MLflow may hold connections to in this process
_SCHEMES = ("sqlite:///", "http://", "https://")


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
        """A client, and the experiment's id in the store.

        Raises:
            Exception: whatever MLflow raises where the store does not answer.
        """
        if self._opened is None or self._opened[2] != self._inode():
            client = client_of(self.uri) if self.file is None else self._sqlite_client(self.file)
            self._opened = (client, self._experiment_id(client), self._inode())
        return self._opened[0], self._opened[1]

    def forget(self) -> None:
        """Looks for everything anew next time: what failed may have been deleted in the store, or with it."""
        self._opened = None

    def writing(self, run: Run, patience_s: float) -> contextlib.AbstractContextManager[None]:
        """Keeps other writers of ours out: of an SQLite store, or of this run where a server takes many at once.

        Raises:
            Locked: another one has been writing all that time.
        """
        return sole_writer(self.file, patience_s) if self.file is not None else held(run.directory, patience_s)

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
        """Tells a store from another one that came in its place."""
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
        if found.lifecycle_stage == "deleted":  # its name stays taken, so no other could be made
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
            return found.experiment_id  # another process was quicker


def check_uri(uri: str) -> None:
    """Raises a ConfigError for an address that MLflow would refuse, or one that would be recorded with a password."""
    if not uri.startswith(_SCHEMES):
        remedy = "tracking=local keeps an SQLite file beside the runs; MLflow no longer writes to plain folders"
        raise ConfigError("tracking.uri", uri, "is no address of a store", allowed=" ".join(_SCHEMES), remedy=remedy)
    name, at, _ = uri.partition("://")[2].rpartition("@")
    if at and ":" in name:
        shown = uri.replace(f"{name}@", "…@")
        remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment"
        raise ConfigError("tracking.uri", shown, "holds a password, which every record would keep", remedy=remedy)
