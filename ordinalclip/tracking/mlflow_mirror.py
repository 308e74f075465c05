"""Shows runs in MLflow while they are made."""

import logging
from typing import Annotated

from ordinalclip.runs import Run
from ordinalclip.signatures import Between
from ordinalclip.tracking.background import Background
from ordinalclip.tracking.client import load_mlflow
from ordinalclip.tracking.copying import copy_run
from ordinalclip.tracking.describe import fingerprint
from ordinalclip.tracking.file_lock import Locked
from ordinalclip.tracking.store import Store

log = logging.getLogger(__name__)


_GLANCE_S = 0.5  # for the lock of a store, by a run that goes on


class MLflowMirror:
    """Copies runs into an MLflow store.

    Args:
        uri: `sqlite:///path` for one machine, or a server's address.
        experiment: MLflow's experiment.
        every_s: seconds between copies of a running run.
        patience_s: seconds that the end of a run waits for the store at most.

    Raises:
        ConfigError: for an address that cannot be used.
    """

    def __init__(
        self,
        *,
        uri: str,
        experiment: str,
        every_s: Annotated[float, Between(0, None)],
        patience_s: Annotated[float, Between(0, None)] = 10.0,
    ) -> None:
        self.store = Store(uri, experiment)
        self._patience_s = patience_s
        self._copied: dict[str, str] = {}  # directory → fingerprint of what the store has
        self._background = Background(self._copy, uri, every_s, patience_s)

    def prepare(self) -> None:
        """Makes an SQLite store; a server is asked for when there is something to tell it."""
        if self.store.file is None:
            return
        try:
            self.store.open()
        except Exception as error:  # a full disk, say: runs need no store
            log.warning("MLflow at %s could not be made (%s); the runs need none", self.store.uri, error)

    def sync(self, run: Run, *, final: bool) -> None:
        """Has what is new of a run copied; a store that cannot be reached is reported and tried again later."""
        load_mlflow()
        if final:
            self._background.finish(run)
        else:
            self._background.ask(run)

    def _copy(self, run: Run, waited_for: bool) -> None:
        seen = fingerprint(run)
        if self._copied.get(str(run.directory)) == seen:
            return
        self._copied.pop(str(run.directory), None)
        try:
            copy_run(self.store, run, patience_s=self._patience_s if waited_for else _GLANCE_S)
        except Locked:
            if waited_for:
                raise
            return  # another run's turn; there is a next time
        except Exception:
            self.store.forget()
            raise
        self._copied[str(run.directory)] = seen
