"""What a run's record holds before the first step: settings, data, where they come from, what leaks."""

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ordinalclip.datasets.leakage import measure_leakage
from ordinalclip.datasets.near_duplicates import MAX_PAIRS, near_duplicates
from ordinalclip.datasets.subset import changed_rows
from ordinalclip.datasets.table import save_table
from ordinalclip.derived import stamp
from ordinalclip.prepare import Job
from ordinalclip.provenance import code_diff, provenance
from ordinalclip.runs import Run

log = logging.getLogger("ordinalclip")

_TOLD: set[str] = set()


def begin_record(job: Job, run_log: logging.Handler) -> None:
    """Writes what is known of a claimed run before its first step, and tells what is to be noticed.

    Args:
        job: whose run is claimed.
        run_log: the run's own log, which gets every note.
    """
    run, cfg = job.run, job.cfg
    resumed = run.epochs_done()
    run.set_status("running", run_id=run.run_id, epochs=cfg["epochs"], **stamp(cfg))
    run.write("config.yaml", OmegaConf.to_yaml(OmegaConf.create(cfg)))
    run.write_json("overrides.json", list(job.overrides))
    # Absolute: a record is read from wherever somebody stands, a notebook's folder say.
    root = os.path.abspath(job.manifest.root)
    data = {"manifest": job.manifest.content_hash, "root": root, "notes": list(job.manifest.notes)}
    run.write_json("provenance.json", provenance() | data | _earlier(run, resumed))
    if diff := code_diff():
        run.publish("code.diff", lambda draft: draft.write_bytes(diff))
    names = {group: cfg[group].get("name") for group in ("dataset", "backbone", "prompt")}
    run.write_json("labels.json", names | {"sweep": cfg["sweep_name"], "tags": cfg["tags"]} | stamp(cfg))
    run.publish("manifest.parquet", job.manifest.table.to_parquet)
    run.publish("manifest.csv", partial(save_table, job.manifest))  # to read, to change, to train on
    if len(changed := changed_rows(job.manifest)):
        run.publish("subset.parquet", changed.to_parquet)
    leakage, notes = _leakage(job)
    run.write_json("leakage.json", leakage)
    run.write_json("ranks.json", job.manifest.ranks())
    run.write_json("identity.json", job.identity)
    if resumed > 0:
        log.info("resuming %s after epoch %d of %d", run.directory.name, resumed, cfg["epochs"])
    tell_notes([*job.manifest.notes, *notes], run_log)


def tell_notes(notes: Sequence[str], run_log: logging.Handler | None = None) -> None:
    """Logs each note once a process, since the runs of a sweep share most; a run's own log gets it in any case."""
    for note in notes:
        if note not in _TOLD:
            _TOLD.add(note)
            log.info("%s", note)
        elif run_log is not None:
            run_log.handle(log.makeRecord(log.name, logging.INFO, "", 0, note, (), None))


def _leakage(job: Job) -> tuple[dict[str, Any], list[str]]:
    """What stands in two splits at once, and what of it is to be told besides the manifest's own notes."""
    report = measure_leakage(job.manifest)
    if not job.cfg["dataset"].get("photos"):
        return report, []
    near = near_duplicates(job.manifest, Path(job.cfg["paths"]["cache"]))
    report["near_duplicates"] = near
    if near["known"] == 0:
        told = (
            f"near duplicates were not looked for: there are more than {MAX_PAIRS:,} pairs of a test image and another"
        )
        return report, [told]
    if near["shared"] == 0:
        return report, []
    one, other, _ = near["examples"][0]
    told = f"{near['shared']:,} test images ({near['test_rate']:.1%}) look nearly equal to one of another split"
    return report, [f"{told}, such as {one} and {other}; see leakage.json"]


def _earlier(run: Run, resumed: int) -> dict[str, Any]:
    """What made the epochs that a resumed run has already."""
    made = run.read_json("provenance.json") if resumed > 0 else None
    if made is None:
        return {}
    return {"earlier": [*made.pop("earlier", []), made]}
