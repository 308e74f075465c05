"""One job from start to end: skip, refuse, resume or fit, and a record of how it went."""

import json
import logging
import sys
import time
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf

from ordinalclip.lease import Superseded
from ordinalclip.prepare import Job
from ordinalclip.provenance import code_version, provenance
from ordinalclip.report import print_run
from ordinalclip.tracking import Mirror

log = logging.getLogger("ordinalclip")

_MIRRORS: dict[str, Mirror] = {}  # one a store and process


def mirror_of(cfg: dict[str, Any]) -> Mirror:
    """The mirror that a configuration names; runs that share a store share it."""
    key = json.dumps(cfg["tracking"], sort_keys=True)
    if key not in _MIRRORS:
        _MIRRORS[key] = instantiate(cfg["tracking"])
    return _MIRRORS[key]


def run_job(job: Job, *, in_sweep: bool = False) -> None:
    """Brings one run to its end, from wherever it stands.

    Args:
        job: from `prepare`.
        in_sweep: say little and draw nothing; the sweep prints one table at its end.

    Raises:
        Busy: another process works on it.
        KeyboardInterrupt, SystemExit: it was interrupted; typed again it goes on from its last epoch.
        Exception: whatever ended it; the traceback is in its run.log and status.json.
    """
    run = job.run
    if job.cfg["rerun"] and run.state() != "running":
        archived = run.archive()
        if archived is not None:
            log.info("archived to %s", archived)
    if run.state() == "finished":
        log.info("done already: %s%s", run.directory.name, _made_by_other_code(job))
        if not in_sweep:
            print_run(job)
        return
    run.claim()
    outcome = "failed"
    handler = _log_to(job)
    mirror = mirror_of(job.cfg)
    try:
        _begin(job)
        started = time.perf_counter()
        _fit(job, mirror, in_sweep=in_sweep)
        run.set_status("finished", seconds=round(time.perf_counter() - started, 1))
        outcome = "finished"
    except Superseded:
        outcome = "superseded"
        raise
    except (KeyboardInterrupt, SystemExit) as stop:
        outcome = "interrupted"
        run.set_status("interrupted", error=f"{type(stop).__name__}: {stop}".rstrip(": "))
        log.info("interrupted: %s; the same command goes on from its last epoch", run.directory.name)
        raise
    except BaseException as error:
        # Into run.log only; what the terminal shows of it is the caller's business.
        handler.handle(log.makeRecord(log.name, logging.ERROR, "", 0, "the run failed", (), sys.exc_info()))
        run.set_status("failed", error=f"{type(error).__name__}: {error}")
        raise
    finally:
        if outcome in ("finished", "failed", "interrupted"):
            mirror.sync(run, final=True)
        run.release(outcome)
        logging.getLogger().removeHandler(handler)
        handler.close()
    if not in_sweep:
        print_run(job)


def _fit(job: Job, mirror: Mirror, *, in_sweep: bool) -> None:
    from ordinalclip.fit import fit  # torch and Lightning take seconds to import, so nothing above here does

    fit(job, mirror, draw=not in_sweep)


def _begin(job: Job) -> None:
    """Writes what is known before the first step."""
    run, cfg = job.run, job.cfg
    resumed = run.status().get("epoch")
    run.set_status("running", run_id=run.run_id, epochs=cfg["epochs"])
    run.write("config.yaml", OmegaConf.to_yaml(OmegaConf.create(cfg)))
    run.write_json("overrides.json", list(job.overrides))
    run.write_json("provenance.json", provenance() | {"manifest": job.manifest.content_hash})
    names = {group: cfg[group].get("name") for group in ("dataset", "backbone", "prompt")}
    run.write_json("labels.json", names | {"sweep": cfg["sweep"], "tags": cfg["tags"]})
    run.publish("manifest.parquet", job.manifest.table.to_parquet)
    run.write_json("identity.json", job.identity)
    if resumed is not None:
        log.info("resuming %s after epoch %d of %d", run.directory.name, resumed, cfg["epochs"])
    for note in job.manifest.notes:
        log.info("%s", note)


def _log_to(job: Job) -> logging.Handler:
    handler = logging.FileHandler(job.run.directory / "run.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    return handler


def _made_by_other_code(job: Job) -> str:
    made = (job.run.read_json("provenance.json") or {}).get("code", {})
    now = code_version()
    if (made.get("version"), made.get("git")) == (now["version"], now["git"]):
        return ""
    return f" (by other code: {made.get('version')} {(made.get('git') or '')[:8]}; rerun=true repeats it)"
