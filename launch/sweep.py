"""`-m`: every job is composed, checked and looked up before the first one starts; only what is missing is launched."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from ordinalclip.config import plain
from ordinalclip.job import mirror_of
from ordinalclip.prepare import Job, prepare
from ordinalclip.report import print_store, print_sweep

log = logging.getLogger("ordinalclip")


class SweepFailed(RuntimeError):
    """Some runs of a sweep failed; the others are done."""


def sweep(
    compose: Callable[[list[str]], DictConfig],
    launcher: Launcher,
    product: Sequence[list[str]],
    arguments: Sequence[str],
) -> list[JobReturn]:
    """Plans all jobs, launches what is missing, prints one table.

    Args:
        compose: overrides of one job → its configuration, without Hydra's own node.
        launcher: runs jobs, here or elsewhere.
        product: overrides of each job.
        arguments: what the user typed.

    Returns:
        What the launched jobs returned.

    Raises:
        ConfigError: for the first job that could not start; nothing has been launched then.
        SweepFailed: after all jobs, when some failed.
    """
    jobs = _distinct([prepare(plain(compose(overrides)), tuple(overrides)) for overrides in product])
    states = {job.run.run_id: job.run.state() for job in jobs}
    counted = ", ".join(f"{number} {state}" for state, number in Counter(states.values()).items())
    log.info("%d runs: %s", len(jobs), counted)
    for note in dict.fromkeys(note for job in jobs for note in job.manifest.notes):
        log.info("%s", note)
    _note(jobs, arguments)
    missing = [job for job in jobs if job.cfg["rerun"] or states[job.run.run_id] not in ("finished", "running")]
    results: list[JobReturn] = []
    if missing:
        mirror_of(missing[0].cfg).prepare()  # before jobs that share the store could race to create it
        results = list(launcher.launch([list(job.overrides) for job in missing], initial_job_idx=0))
    print_sweep(jobs)
    print_store(jobs[0].cfg)
    _raise_failures(missing, results)
    return results


def _distinct(jobs: list[Job]) -> list[Job]:
    """One job a run id: two spellings of one experiment are one run."""
    distinct = {job.run.run_id: job for job in reversed(jobs)}
    if len(distinct) < len(jobs):
        log.info("%d of %d jobs describe a run that another one describes too", len(jobs) - len(distinct), len(jobs))
    return list(reversed(distinct.values()))


def _note(jobs: Sequence[Job], arguments: Sequence[str]) -> None:
    """Writes or extends `sweeps/<name>.json`; a run may belong to many sweeps."""
    name = jobs[0].cfg["sweep"]
    if name is None:
        return
    path = Path(jobs[0].cfg["paths"]["runs"]) / "sweeps" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"runs": {}}
    known["runs"] |= {job.run.directory.name: list(job.overrides) for job in jobs}
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(known | {"arguments": list(arguments)}, indent=2) + "\n")
    draft.replace(path)


def _raise_failures(missing: Sequence[Job], results: Sequence[JobReturn]) -> None:
    failed = [
        f"  {' '.join(job.overrides)}: {result._return_value}"
        for job, result in zip(missing, results, strict=True)
        if result.status == JobStatus.FAILED
    ]
    if failed:
        heading = f"{len(failed)} of {len(results)} runs failed; tracebacks are in their run.log:"
        raise SweepFailed("\n".join([heading, *failed]))
