"""Mirrors of running experiments in a tracking store: `MLflowMirror` copies to MLflow, `NoMirror` does nothing.

Copies are made in a background thread, so that a run never waits for a store that is unreachable, slow or broken.
"""

import atexit
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Protocol

from ordinalclip.config.kinds import Between
from ordinalclip.runs.run import Run
from ordinalclip.system.files import LockTimeout
from ordinalclip.tracking.copying import copy_run
from ordinalclip.tracking.describe import fingerprint
from ordinalclip.tracking.store import Store, load_mlflow

log = logging.getLogger(__name__)

_MAX_RETRY_PAUSE_S = 120.0
_EXIT_WAIT_S = 2.0  # at the end of the process, for a copy in progress
_LOCK_WAIT_S = 0.5  # for the lock of a store, while the run continues


class Mirror(Protocol):
    """Copies runs into a tracking store. Errors of the store are logged, not raised."""

    def prepare(self) -> None:
        """Creates the store; called once, before any run that may share it starts."""

    def sync(self, run: Run, *, final: bool) -> None:
        """Schedules a copy of a run's news; if `final`, copies at once and waits for it up to a limit."""


class NoMirror:
    """Copies nothing; `python -m analysis.sync` can copy the run directories later."""

    def prepare(self) -> None:
        """Does nothing."""

    def sync(self, run: Run, *, final: bool) -> None:
        """Does nothing."""


class Background:
    """Copies runs in a thread, at intervals. After a failure the interval is doubled.

    Args:
        copy: copies what is new of a run; its flag says whether a caller is waiting. May raise anything.
        name: the store's address, for messages.
        every_s: seconds between two copies of a running run.
        patience_s: total seconds that `finish` may wait until the store answers again.
    """

    def __init__(self, copy: Callable[[Run, bool], None], name: str, every_s: float, patience_s: float) -> None:
        self._copy, self._name, self._every_s, self._patience_s = copy, name, every_s, patience_s
        self._left_s = patience_s
        self._news = threading.Condition()
        self._wanted: dict[Path, Run] = {}  # to be copied at `_due`
        self._urgent: dict[Path, Run] = {}  # to be copied now
        self._begun: set[Path] = set()
        self._due = 0.0
        self._failures = 0
        self._warned = False  # about the current outage
        self._copying: Path | None = None
        self._thread: threading.Thread | None = None

    def ask(self, run: Run) -> None:
        """Schedules a copy of a run; the first copy is made at once."""
        with self._news:
            place = run.directory
            if place not in self._begun and not self._failures:
                self._urgent[place] = run
            self._begun.add(place)
            self._wanted[place] = run
            self._wake()

    def finish(self, run: Run) -> None:
        """Copies a run at once, and waits until that succeeds, fails or takes too long."""
        with self._news:
            place = run.directory
            self._wanted.pop(place, None)
            while self._copying == place and self._left_s > 0:  # a copy that began before the end
                self._wait()
            self._begun.discard(place)
            self._urgent[place] = run
            self._wake()
            while (place in self._urgent or self._copying == place) and self._wait():
                pass
            if place in self._urgent or self._copying == place:
                self._warn(f"no answer within {self._patience_s:g} s")

    def _wait(self) -> bool:
        """Waits at most 0.5 s for a change; returns False when the patience is used up."""
        began = time.monotonic()
        self._news.wait(max(0.0, min(0.5, self._left_s)))
        self._left_s -= time.monotonic() - began
        return self._left_s > 0

    def _wake(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
            self._thread.start()
            atexit.register(self._end)
        self._news.notify_all()

    def _end(self) -> None:
        until = time.monotonic() + _EXIT_WAIT_S
        with self._news:
            while self._copying is not None and time.monotonic() < until:
                self._news.wait(0.1)

    def _work(self) -> None:
        while True:
            with self._news:
                while not self._urgent and not (self._wanted and time.monotonic() >= self._due):
                    self._news.wait(max(0.05, self._due - time.monotonic()) if self._wanted else None)
                turn = list(self._urgent.values()) or list(self._wanted.values())
                regular = not self._urgent
            for run in turn:
                if not self._try(run, waited_for=not regular):
                    break
            with self._news:
                if regular or self._failures:
                    pause = self._every_s * 2 ** min(self._failures, 20) if self._failures else self._every_s
                    self._due = time.monotonic() + min(max(pause, 0.0), max(_MAX_RETRY_PAUSE_S, self._every_s))

    def _try(self, run: Run, *, waited_for: bool) -> bool:
        place = run.directory
        with self._news:
            self._copying = place
            self._urgent.pop(place, None)
            self._wanted.pop(place, None)
        try:
            self._copy(run, waited_for)
        except Exception as error:  # no error of a store may end the run
            with self._news:
                self._wanted.setdefault(place, run)
                self._warn(f"{type(error).__name__}: {error}".partition("\n")[0])
                self._failures += 1
            return False
        else:
            with self._news:
                if self._warned:
                    log.info("MLflow at %s answers again", self._name)
                self._failures, self._warned, self._left_s = 0, False, self._patience_s
            return True
        finally:
            with self._news:
                self._copying = None
                self._news.notify_all()

    def _warn(self, why: str) -> None:
        """Logs one warning per outage."""
        if not self._warned:
            self._warned = True
            log.warning(
                "MLflow at %s could not be written (%s); the run goes on, its record is complete, and "
                "`python -m analysis.sync` copies it whenever you like",
                self._name,
                why,
            )


class MLflowMirror:
    """Copies runs into an MLflow store.

    Args:
        uri: `sqlite:///path` for one machine, or a server's address.
        experiment: MLflow's experiment.
        every_s: seconds between copies of a running run.
        patience_s: seconds that the end of a run waits for the store at most.

    Raises:
        ConfigError: the address cannot be used.
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
        """Creates an SQLite store; a server is contacted with the first copy."""
        if self.store.file is None:
            return
        try:
            self.store.open()
        except Exception as error:  # for example a full disk; a run does not need the store
            log.warning("MLflow at %s could not be made (%s); the runs need none", self.store.uri, error)

    def sync(self, run: Run, *, final: bool) -> None:
        """Schedules a copy, or copies at once if `final`. An unreachable store is reported and tried again later."""
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
            copy_run(self.store, run, patience_s=self._patience_s if waited_for else _LOCK_WAIT_S)
        except LockTimeout:
            if waited_for:
                raise
            return  # another run is being copied; this one is tried again
        except Exception:
            self.store.forget()
            raise
        self._copied[str(run.directory)] = seen
