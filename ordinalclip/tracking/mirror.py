"""Mirrors: what shows runs in a tracking store. `NoMirror` shows nothing, `MLflowMirror` copies runs to MLflow.

Copies are made in a background thread, so that nothing waits for a store that is away, slow or broken.
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

_LONGEST_PAUSE_S = 120.0
_LAST_WAIT_S = 2.0  # at the end of the process, for a copy that is under way
_GLANCE_S = 0.5  # for the lock of a store, by a run that goes on


class Mirror(Protocol):
    """Shows a run in a tracking store; neither method raises because of the store, or waits long for it."""

    def prepare(self) -> None:
        """Makes the store, once, before any run that may share it starts."""

    def sync(self, run: Run, *, final: bool) -> None:
        """Has what is new of a run copied, soon; `final`: now, and waits for it within reason."""


class NoMirror:
    """Keeps to the run directories; `python -m analysis.sync` copies them whenever a store is wanted."""

    def prepare(self) -> None:
        """Nothing to make."""

    def sync(self, run: Run, *, final: bool) -> None:
        """Nothing to copy."""


class Background:
    """Copies runs, each every so often, in a thread of its own; what fails is tried again, ever less often.

    Args:
        copy: copies what is new of a run; the flag says whether a caller waits for it; may raise anything.
        name: of the store, for messages.
        every_s: seconds between two copies of a running run.
        patience_s: seconds that ends of runs may wait for, all in all, until the store answers again.
    """

    def __init__(self, copy: Callable[[Run, bool], None], name: str, every_s: float, patience_s: float) -> None:
        self._copy, self._name, self._every_s, self._patience_s = copy, name, every_s, patience_s
        self._left_s = patience_s
        self._news = threading.Condition()
        self._wanted: dict[Path, Run] = {}  # to be copied when they are due
        self._urgent: dict[Path, Run] = {}  # to be copied now
        self._begun: set[Path] = set()
        self._due = 0.0
        self._failures = 0
        self._told = False  # of this outage
        self._copying: Path | None = None
        self._thread: threading.Thread | None = None

    def ask(self, run: Run) -> None:
        """Has a run copied when it is due; the first time now."""
        with self._news:
            place = run.directory
            if place not in self._begun and not self._failures:
                self._urgent[place] = run
            self._begun.add(place)
            self._wanted[place] = run
            self._wake()

    def finish(self, run: Run) -> None:
        """Has a run copied now, and waits until that is done, fails, or takes too long."""
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
                self._tell(f"no answer within {self._patience_s:g} s")

    def _wait(self) -> bool:
        """Waits a moment for news; False when the patience is used up."""
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
        until = time.monotonic() + _LAST_WAIT_S
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
                    self._due = time.monotonic() + min(max(pause, 0.0), max(_LONGEST_PAUSE_S, self._every_s))

    def _try(self, run: Run, *, waited_for: bool) -> bool:
        place = run.directory
        with self._news:
            self._copying = place
            self._urgent.pop(place, None)
            self._wanted.pop(place, None)
        try:
            self._copy(run, waited_for)
        except Exception as error:  # whatever a store may raise, it must not end the run
            with self._news:
                self._wanted.setdefault(place, run)
                self._tell(f"{type(error).__name__}: {error}".partition("\n")[0])
                self._failures += 1
            return False
        else:
            with self._news:
                if self._told:
                    log.info("MLflow at %s answers again", self._name)
                self._failures, self._told, self._left_s = 0, False, self._patience_s
            return True
        finally:
            with self._news:
                self._copying = None
                self._news.notify_all()

    def _tell(self, why: str) -> None:
        """Once an outage."""
        if not self._told:
            self._told = True
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
        """Makes an SQLite store; a server is contacted when there is something to send."""
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
        except LockTimeout:
            if waited_for:
                raise
            return  # another run's turn; there is a next time
        except Exception:
            self.store.forget()
            raise
        self._copied[str(run.directory)] = seen
