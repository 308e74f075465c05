"""`register=true`: what is finished is registered, once; a store that is away costs no run anything."""

import logging
from collections.abc import Iterable

from ordinalclip.prepare import Job
from ordinalclip.record_sums import check_record_sums
from ordinalclip.reopen import open_record

log = logging.getLogger("ordinalclip")


def register_finished(jobs: Iterable[Job]) -> None:
    """Registers the runs of jobs that ask for it, are finished, and are not registered yet."""
    for job in jobs:
        if job.cfg.get("register") and job.run.state() == "finished":
            try:
                _register(job)
            except Exception as error:  # whatever a store may raise: the run is done
                name = job.run.directory.name
                log.warning("%s was not registered (%s); python -m ordinalclip.register run=%s", name, error, name)


def _register(job: Job) -> None:
    from ordinalclip.serving.register import find_shown, is_registered, register

    uri = job.cfg["tracking"]["uri"]
    if not is_registered(job.run, uri):
        check_record_sums(job.run)
        register(open_record(job.run, job.cfg), uri, find_shown(job.run, uri))
