"""One job from start to end: skip, refuse, resume or fit, and a record of how it went."""

import contextlib
import gc
import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from ordinalclip.datasets.leakage import measure_leakage
from ordinalclip.datasets.near_duplicates import near_duplicates
from ordinalclip.datasets.subset import changed_rows
from ordinalclip.datasets.table import save_table
from ordinalclip.derived import stamp
from ordinalclip.lease import Superseded
from ordinalclip.prepare import Job
from ordinalclip.provenance import code_version, provenance
from ordinalclip.report import print_run
from ordinalclip.runs import Run
from ordinalclip.tracking import Mirror

log = logging.getLogger("ordinalclip")

_TOLD: set[str] = set()
_MIRRORS: dict[str, Mirror] = {}  # one a store and process


def mirror_of(cfg: dict[str, Any]) -> Mirror:
    """The mirror that a configuration names; runs that share a store share it."""
    key = json.dumps(cfg["tracking"], sort_keys=True)
    if key not in _MIRRORS:
        _MIRRORS[key] = instantiate(cfg["tracking"])
    return _MIRRORS[key]


def tell_notes(notes: Sequence[str], run_log: logging.Handler | None = None) -> None:
    """Logs each note once a process, since the runs of a sweep share most; a run's own log gets it in any case."""
    for note in notes:
        if note not in _TOLD:
            _TOLD.add(note)
            log.info("%s", note)
        elif run_log is not None:
            run_log.handle(log.makeRecord(log.name, logging.INFO, "", 0, note, (), None))


def run_job(job: Job, *, in_sweep: bool = False) -> None:
    """Brings one run to its end, from wherever it stands.

    Args:
        job: from `prepare`.
        in_sweep: say little and draw nothing; figures are drawn when one of its runs is asked for by itself.

    Raises:
        Busy: another process works on it.
        KeyboardInterrupt, SystemExit: it was interrupted; typed again it goes on from its last epoch.
        Exception: whatever ended it; the traceback is in its run.log and status.json.
    """
    run = job.run
    if job.cfg["rerun"]:
        archived = run.archive()
        if archived is not None:
            log.info("archived to %s", archived)
    if run.state() == "finished" or not _attempt(job):
        log.info("done already: %s%s", run.directory.name, _made_by_other_code(job))
    if not in_sweep:
        _draw(job)
        print_run(job)


def _draw(job: Job) -> None:
    """Draws the figures where they are missing, after a sweep say; a run is done without them, whatever goes wrong."""
    from ordinalclip.gallery import draw_figures, has_figures

    if has_figures(job.run):
        return
    try:
        draw_figures(job.run, job.manifest.rank_names)
    except (OSError, KeyError, TypeError) as error:
        log.warning("no figures were drawn: %s", error)
        return
    mirror_of(job.cfg).sync(job.run, final=True)


def _attempt(job: Job) -> bool:
    """Claims a run and brings it to its end; False where another process has just done so."""
    run, mirror = job.run, mirror_of(job.cfg)
    run.claim()
    try:
        if run.state() == "finished":
            return False
        _fit_and_record(job, mirror)
        return True
    finally:
        run.release(run.status().get("status", "failed"))
        gc.collect()  # Lightning's trainer and module hold each other, and with them the model and its optimiser


def _fit_and_record(job: Job, mirror: Mirror) -> None:
    """Fits a claimed run, and records how it ended however it ends."""
    run = job.run
    with _log_to(job) as run_log:
        try:
            _begin(job, run_log)
            started = time.perf_counter()
            _fit(job, mirror)
            run.set_status("finished", seconds=round(time.perf_counter() - started, 1))
        except Superseded:  # the run is another process's now
            raise
        except (KeyboardInterrupt, SystemExit) as stop:
            _set_outcome(run, "interrupted", stop)
            log.info("interrupted: %s, after epoch %d of %d", run.directory.name, *_epochs(job))
            mirror.sync(run, final=True)
            raise
        except BaseException as error:
            # Into run.log only; what the terminal shows of it is the caller's business.
            run_log.handle(log.makeRecord(log.name, logging.ERROR, "", 0, "the run failed", (), sys.exc_info()))
            _set_outcome(run, "failed", error)
            error.add_note(f"traceback: {run.directory / 'run.log'}")
            mirror.sync(run, final=True)
            raise
        mirror.sync(run, final=True)


def _set_outcome(run: Run, outcome: str, error: BaseException) -> None:
    """Writes down how a run ended; where that cannot be done (a full disk), what ended it still goes its way."""
    with contextlib.suppress(OSError, Superseded):
        run.set_status(outcome, error=f"{type(error).__name__}: {error}".rstrip(": "))


def _fit(job: Job, mirror: Mirror) -> None:
    from ordinalclip.fit import fit  # torch and Lightning take seconds to import, so nothing above here does

    fit(job, mirror)


def _begin(job: Job, run_log: logging.Handler) -> None:
    """Writes what is known before the first step."""
    run, cfg = job.run, job.cfg
    resumed, _ = _epochs(job)
    run.set_status("running", run_id=run.run_id, epochs=cfg["epochs"], **stamp(cfg))
    run.write("config.yaml", OmegaConf.to_yaml(OmegaConf.create(cfg)))
    run.write_json("overrides.json", list(job.overrides))
    data = {"manifest": job.manifest.content_hash, "root": str(job.manifest.root), "notes": list(job.manifest.notes)}
    run.write_json("provenance.json", provenance() | data | _earlier(run, resumed))
    names = {group: cfg[group].get("name") for group in ("dataset", "backbone", "prompt")}
    run.write_json("labels.json", names | {"sweep": cfg["sweep_name"], "tags": cfg["tags"]} | stamp(cfg))
    run.publish("manifest.parquet", job.manifest.table.to_parquet)
    run.publish("manifest.csv", partial(save_table, job.manifest))  # to read, to change, to train on
    if len(changed := changed_rows(job.manifest)):
        run.publish("subset.parquet", changed.to_parquet)
    run.write_json("leakage.json", _leakage(job))
    run.write_json("ranks.json", job.manifest.ranks())
    run.write_json("identity.json", job.identity)
    if resumed > 0:
        log.info("resuming %s after epoch %d of %d", run.directory.name, resumed, cfg["epochs"])
    tell_notes(job.manifest.notes, run_log)


def _leakage(job: Job) -> dict[str, Any]:
    report = measure_leakage(job.manifest)
    if job.cfg["dataset"].get("photos"):
        near = near_duplicates(job.manifest, Path(job.cfg["paths"]["cache"]))
        report["near_duplicates"] = near
        if near["shared"]:
            one, other, _ = near["examples"][0]
            told = f"{near['shared']:,} test images ({near['test_rate']:.1%}) look nearly equal to one of train or val"
            log.info("%s, such as %s and %s; see leakage.json", told, one, other)
    return report


def _earlier(run: Run, resumed: int) -> dict[str, Any]:
    """What made the epochs that a resumed run has already."""
    made = run.read_json("provenance.json") if resumed > 0 else None
    if made is None:
        return {}
    return {"earlier": [*made.pop("earlier", []), made]}


def _epochs(job: Job) -> tuple[int, int]:
    """Epochs that are done, and that there are to be."""
    return job.run.status().get("epoch", 0), job.cfg["epochs"]


@contextlib.contextmanager
def _log_to(job: Job) -> Iterator[logging.Handler]:
    """Copies all that is logged into the run's log."""
    handler = logging.FileHandler(job.run.directory / "run.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield handler
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def _made_by_other_code(job: Job) -> str:
    made = (job.run.read_json("provenance.json") or {}).get("code", {})
    now = code_version()
    if (made.get("version"), made.get("git")) == (now["version"], now["git"]):
        return ""
    return f" (by other code: {made.get('version')} {(made.get('git') or '')[:8]}; rerun=true repeats it)"
