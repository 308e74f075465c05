"""Copies made in a thread, so that nobody waits for a store that is away, slow or broken."""

import atexit
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ordinalclip.runs import Run

log = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 120.0
_LAST_WAIT_S = 2.0  # at the end of the process, for a copy that is under way


class Background:
    """Copies runs, each every so often, in a thread of its own; what fails is tried again, ever less often.

    Args:
        copy: copies what is new of a run, the flag telling whether somebody waits for it; may raise anything.
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
