"""MLflow stores of sweeps: which store jobs on several machines may use, and mirroring of runs of other processes.

An SQLite file is corrupted by writers on several machines. Such jobs write to no store, or to a server; the process
that waits for them mirrors their runs (`Mirroring`), or `python -m analysis.sync` does so later.
"""

import logging
import threading
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from ordinalclip.errors import ConfigError
from ordinalclip.execution.job import mirror_of
from ordinalclip.preparation.prepare import Job
from ordinalclip.runs.run import Run
from ordinalclip.tracking.store import Store

log = logging.getLogger("ordinalclip")

_NO_STORE = {"_target_": "ordinalclip.tracking.NoMirror"}
_HEALTH_TIMEOUT_S = 3.0
_MIRROR_EVERY_S = 1.0  # a mirror limits its own rate as well


def check_store(jobs: Sequence[Job], arguments: Sequence[str], *, mirrored: bool) -> None:
    """Rejects an SQLite store for jobs on several machines; warns if a server cannot be reached.

    Args:
        jobs: jobs to be queued.
        arguments: as typed by the user.
        mirrored: whether a process on this machine mirrors the runs, so that an SQLite store is accepted unless the
            user has named it.

    Raises:
        ConfigError: for an SQLite store.
    """
    for uri in dict.fromkeys(_uri(job) for job in jobs if _uri(job).startswith("http")):
        _warn_if_unreachable(uri)
    if not any(map(uses_sqlite, jobs)):
        return
    typed = [word.lstrip("+").partition("=")[::2] for word in arguments]
    named = [(key, value) for key, value in typed if key in ("tracking", "tracking.uri")]
    if mirrored and not named:
        return
    more = [word for word in arguments if word.startswith("tracking.") and not word.startswith("tracking.uri=")]
    sync = " ".join(["python -m analysis.sync", *more])
    shows = "this process shows the runs in that store as they go on" if mirrored else f"{sync} shows the runs there"
    others = [(key, value) for key, value in typed if key.startswith("tracking.")]
    key, value = [("tracking", "local"), *others, *named][-1]
    problem = "is an SQLite file, which jobs on several machines ruin"
    if key not in ("tracking", "tracking.uri"):
        problem = "is of an SQLite file, tracking=local, which jobs on several machines ruin"
    allowed = "tracking=offline, or a server's address"
    raise ConfigError(key, value, problem, allowed=allowed, remedy=f"leave it out: {shows}")


def without_sqlite(job: Job) -> Job:
    """Returns the job to queue: with an SQLite store, it writes to no store and does not register its model."""
    return replace(job, cfg=job.cfg | {"tracking": _NO_STORE, "register": False}) if uses_sqlite(job) else job


def uses_sqlite(job: Job) -> bool:
    """Whether a job's store is an SQLite file."""
    return _uri(job).startswith("sqlite:")


def _uri(job: Job) -> str:
    return str(job.cfg["tracking"].get("uri", ""))


def _warn_if_unreachable(uri: str) -> None:
    if urlsplit(uri).hostname in ("127.0.0.1", "localhost", "::1"):
        log.warning("tracking.uri=%s is each machine's own address, and jobs run on others", uri)
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_HEALTH_TIMEOUT_S).close()
    except urllib.error.HTTPError:  # such as a server with authentication
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        message = "tracking.uri=%s does not answer from here (%s); runs need no store, python -m analysis.sync fills it"
        log.warning(message, uri, reason)


class Mirroring:
    """A context manager that mirrors runs of other processes into their stores: from time to time, and at their end.

    A single thread does so, so that a store has one writer and no caller waits for it.
    """

    def __init__(self) -> None:
        self._cfgs: dict[Run, dict[str, Any]] = {}
        self._ended: list[Run] = []
        self._changed, self._closing = threading.Condition(), False
        self._thread = threading.Thread(target=self._mirror, name="mirroring", daemon=True)

    def begin(self, run: Run, cfg: dict[str, Any]) -> None:
        """Starts to mirror a run."""
        with self._changed:
            self._cfgs[run] = cfg

    def end(self, run: Run) -> None:
        """Mirrors an ended run for the last time, with its final status; does nothing if it was not begun."""
        with self._changed:
            self._ended.append(run)
            self._changed.notify()

    def __enter__(self) -> "Mirroring":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Waits until all ended runs are mirrored."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _mirror(self) -> None:
        while True:
            with self._changed:
                if not self._ended and not self._closing:
                    self._changed.wait(_MIRROR_EVERY_S)
                ended, self._ended = self._ended, []
                done = self._closing and not ended
                running = {run: cfg for run, cfg in self._cfgs.items() if run not in ended}
                last = [(run, self._cfgs.pop(run)) for run in ended if run in self._cfgs]
            for run, cfg in last:
                mirror_of(cfg).sync(run, final=True)
            if done:
                return
            for run, cfg in running.items():
                mirror_of(cfg).sync(run, final=False)


def copy_finished(jobs: Iterable[Job]) -> None:
    """Copies finished runs into their stores, as no process may have mirrored their end.

    Args:
        jobs: of a sweep; complete copies are skipped, and a store that does not answer is logged as a warning.
    """
    from ordinalclip.tracking.sync import copy_all  # imports MLflow

    stores: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for job in jobs:
        tracking = job.cfg["tracking"]
        if "uri" in tracking and job.run.state() == "finished":
            stores[tracking["uri"], tracking["experiment"]].append(job.run)
    for (uri, experiment), runs in stores.items():
        try:
            copy_all(Store(uri, experiment), runs)
        except Exception as error:  # any error of the store: the runs are finished
            log.warning("%s; the runs are done, and python -m analysis.sync shows them", str(error).partition("\n")[0])
