"""The store of jobs on several machines: none or a server, since they would ruin an SQLite file."""

import logging
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from ordinalclip.errors import ConfigError
from ordinalclip.prepare import Job

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
