"""Runs one job: claims its run, fits or resumes it, records the outcome, draws figures, registers the model.

A finished run is skipped. `register=true` registers a finished run once. An unreachable tracking store does not fail a
run.
"""

import contextlib
import gc
import json
import logging
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

from hydra.utils import instantiate

from ordinalclip.errors import Superseded
from ordinalclip.preparation.prepare import Job, begin_record
from ordinalclip.preparation.reopen import open_record
from ordinalclip.report.tables import print_run
from ordinalclip.runs.provenance import code_version
from ordinalclip.runs.run import Run, check_record_sums, write_record_sums
from ordinalclip.system.interruption import Stopped, signals_stop
from ordinalclip.system.slurm import stop_reason
from ordinalclip.tracking import Mirror

log = logging.getLogger("ordinalclip")

_MAX_FRAMES = 6  # last entries of a traceback that status.json keeps, including the message
_MIRRORS: dict[str, Mirror] = {}  # tracking settings → mirror of this process


def register_finished(jobs: Iterable[Job]) -> None:
    """Registers finished runs of jobs with `register=true` that are not registered yet."""
    for job in jobs:
        if job.cfg.get("register") and job.run.state() == "finished":
            try:
                _register(job)
            except Exception as error:  # stores raise errors of any type; the run itself is finished
                name = job.run.directory.name
                log.warning("%s was not registered (%s); python -m ordinalclip.register run=%s", name, error, name)


def _register(job: Job) -> None:
    from ordinalclip.serving.register import find_shown, is_registered, register

    uri = job.cfg["tracking"]["uri"]
    if not is_registered(job.run, uri):
        check_record_sums(job.run)
        register(open_record(job.run, job.cfg), uri, find_shown(job.run, uri))


def mirror_of(cfg: dict[str, Any]) -> Mirror:
    """The mirror of a configuration; runs with equal tracking settings share it."""
    key = json.dumps(cfg["tracking"], sort_keys=True)
    if key not in _MIRRORS:
        _MIRRORS[key] = instantiate(cfg["tracking"])
    return _MIRRORS[key]


def run_job(job: Job, *, in_sweep: bool = False, mirror: Mirror | None = None) -> None:
    """Runs a job until its run is finished; skips it if it is finished already.

    Args:
        job: from `prepare`.
        in_sweep: print little and draw no figures; they are drawn when the run is started by itself.
        mirror: None: the mirror of the configuration.

    Raises:
        Busy: another process has claimed the run.
        KeyboardInterrupt, SystemExit: interrupted; the same command resumes the run after its last epoch.
        Exception: the fit failed; the traceback is in the run's run.log and status.json.
    """
    run = job.run
    if job.cfg["rerun"]:
        archived = run.archive()
        if archived is not None:
            log.info("archived to %s", archived)
    if run.state() == "finished" or not _attempt(job, mirror_of(job.cfg) if mirror is None else mirror):
        log.info("done already: %s%s", run.directory.name, _made_by_other_code(job))
    if not in_sweep:
        _draw(job)
        print_run(job)
        register_finished([job])


def _draw(job: Job) -> None:
    """Draws missing figures, such as after a sweep. Errors are logged: a run is finished without figures."""
    from ordinalclip.report.gallery import draw_figures, has_figures
    from ordinalclip.report.page import write_page

    if has_figures(job.run):
        return
    try:
        draw_figures(job.run, job.manifest.rank_names)
        write_page(job.run)
    except (OSError, KeyError, TypeError, ValueError) as error:
        log.warning("report.html was not written: %s: %s", type(error).__name__, error)
    mirror_of(job.cfg).sync(job.run, final=True)


def _attempt(job: Job, mirror: Mirror) -> bool:
    """Claims and fits a run; returns False if another process has finished it meanwhile."""
    run = job.run
    run.claim()
    try:
        if run.state() == "finished":
            return False
        _fit_and_record(job, mirror)
        return True
    finally:
        run.release(run.status().get("status", "failed"))
        gc.collect()  # Lightning's trainer and module refer to each other and keep the model and optimizer alive


def _fit_and_record(job: Job, mirror: Mirror) -> None:
    """Fits a claimed run and records its outcome."""
    run = job.run
    with signals_stop(), _log_to(job) as run_log:
        try:
            begin_record(job, run_log)
            started = time.perf_counter()
            _fit(job, mirror)
            write_record_sums(run)
            run.set_status("finished", seconds=round(time.perf_counter() - started, 1))
        except Superseded:  # another process has taken over the run
            raise
        except (KeyboardInterrupt, SystemExit) as stop:
            _set_outcome(run, "interrupted", stop)
            if isinstance(stop, Stopped) and (why := stop_reason(stop.by)):
                _set_outcome(run, "interrupted", stop, why=why)
            log.info("interrupted: %s, after epoch %d of %d", run.directory.name, run.epochs_done(), job.cfg["epochs"])
            mirror.sync(run, final=True)
            raise
        except BaseException as error:
            # Into run.log only; the caller prints the error.
            run_log.handle(log.makeRecord(log.name, logging.ERROR, "", 0, "the run failed", (), sys.exc_info()))
            _set_outcome(run, "failed", error)
            error.add_note(f"traceback: {run.directory / 'run.log'}")
            mirror.sync(run, final=True)
            raise
        mirror.sync(run, final=True)


def _set_outcome(run: Run, outcome: str, error: BaseException, **more: str) -> None:
    """Records the outcome of a run. Errors such as a full disk are suppressed, since `error` will be raised."""
    facts = more | {"error": f"{type(error).__name__}: {error}".rstrip(": ")}
    if outcome == "failed":
        facts["traceback_tail"] = "".join(traceback.format_exception(error)[-_MAX_FRAMES:]).rstrip()
    with contextlib.suppress(OSError, Superseded):
        run.set_status(outcome, **facts)


def _fit(job: Job, mirror: Mirror) -> None:
    from ordinalclip.execution.fit import fit  # imports torch and Lightning, which takes seconds

    fit(job, mirror)


@contextlib.contextmanager
def _log_to(job: Job) -> Iterator[logging.Handler]:
    """Copies all log messages into run.log."""
    handler = logging.FileHandler(job.run.directory / "run.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield handler
    finally:
        logging.getLogger().removeHandler(handler)
        with contextlib.suppress(OSError):  # a full disk; the error that ended the run is raised
            handler.close()


def _made_by_other_code(job: Job) -> str:
    made = (job.run.read_json("provenance.json") or {}).get("code", {})
    now = code_version()
    if (made.get("version"), made.get("git")) == (now["version"], now["git"]):
        return ""
    return f" (by other code: {made.get('version')} {(made.get('git') or '')[:8]}; rerun=true repeats it)"
