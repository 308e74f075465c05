"""The store of jobs on several machines: none or a server, since they would ruin an SQLite file."""

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

_OFFLINE = {"_target_": "ordinalclip.tracking.NoMirror"}
_ASK_S = 3.0


def check_store(jobs: Sequence[Job], arguments: Sequence[str], *, mirrored: bool) -> None:
    """Refuses an SQLite store for jobs on several machines; warns of a server that they or this machine cannot reach.

    Args:
        jobs: some to be queued.
        arguments: what the user typed.
        mirrored: a process here shows the runs in their store, so that one that was not named is left to it.

    Raises:
        ConfigError: for such a store.
    """
    for uri in dict.fromkeys(_uri(job) for job in jobs if _uri(job).startswith("http")):
        _warn_of(uri)
    if not any(map(is_sqlite, jobs)):
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


def for_nodes(job: Job) -> Job:
    """The job as it is queued: one of an SQLite store writes to none, and leaves it to others to register its run."""
    return replace(job, cfg=job.cfg | {"tracking": _OFFLINE, "register": False}) if is_sqlite(job) else job


def is_sqlite(job: Job) -> bool:
    """Whether a job's store is a file."""
    return _uri(job).startswith("sqlite:")


def _uri(job: Job) -> str:
    return str(job.cfg["tracking"].get("uri", ""))


def _warn_of(uri: str) -> None:
    if urlsplit(uri).hostname in ("127.0.0.1", "localhost", "::1"):
        log.warning("tracking.uri=%s is each machine's own address, and jobs run on others", uri)
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_ASK_S).close()
    except urllib.error.HTTPError:  # it asks for a password, say
        return
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        told = "tracking.uri=%s does not answer from here (%s); runs need no store, python -m analysis.sync fills it"
        log.warning(told, uri, why)


# MERGED: """Shows runs of other processes in their stores: one thread, so that a store has one writer and nobody waits for it."""


_PAUSE_S = 1.0  # between two looks at the runs; a mirror decides by itself how often it copies


class Mirroring:
    """A context in which runs are mirrored while they are worked on, and wholly when they have ended."""

    def __init__(self) -> None:
        self._cfgs: dict[Run, dict[str, Any]] = {}
        self._ended: list[Run] = []
        self._news, self._closing = threading.Condition(), False
        self._thread = threading.Thread(target=self._mirror, name="mirroring", daemon=True)

    def begin(self, run: Run, cfg: dict[str, Any]) -> None:
        """From now on a run is shown."""
        with self._news:
            self._cfgs[run] = cfg

    def end(self, run: Run) -> None:
        """A run has ended: it is shown for the last time, with how it ended; one that never began is not."""
        with self._news:
            self._ended.append(run)
            self._news.notify()

    def __enter__(self) -> "Mirroring":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Waits until all that has ended is shown."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join()

    def _mirror(self) -> None:
        while True:
            with self._news:
                if not self._ended and not self._closing:
                    self._news.wait(_PAUSE_S)
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


def show_finished(jobs: Iterable[Job]) -> None:
    """Copies finished runs that their stores do not have, or not to the end: nobody may have been here when they ended.

    Args:
        jobs: of a sweep; what a store has already is passed over, and one that does not answer is warned of.
    """
    from ordinalclip.tracking.sync import copy_all  # a command, which imports how sweeps end

    stores: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for job in jobs:
        tracking = job.cfg["tracking"]
        if "uri" in tracking and job.run.state() == "finished":
            stores[tracking["uri"], tracking["experiment"]].append(job.run)
    for (uri, experiment), runs in stores.items():
        try:
            copy_all(Store(uri, experiment), runs)
        except Exception as error:  # whatever a store may raise: the runs are done
            log.warning("%s; the runs are done, and python -m analysis.sync shows them", str(error).partition("\n")[0])
