"""`-m`: every job is composed, checked and looked up before the first one starts; only what is missing is launched."""

import json
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from launch.outcome import JobFailed
from launch.stores import show_finished
from ordinalclip.errors import SweepFailed
from ordinalclip.execution.job import mirror_of, register_finished
from ordinalclip.preparation.prepare import Job, plan, tell_notes
from ordinalclip.report.tables import print_store, print_sweep, titles
from ordinalclip.runs.leases import Busy

log = logging.getLogger("ordinalclip")


@runtime_checkable
class JobLauncher(Protocol):
    """A launcher that takes checked jobs, and runs them elsewhere."""

    def check(self, jobs: Sequence[Job], arguments: Sequence[str]) -> None:
        """Raises ConfigError for what jobs cannot do there, before anything is launched."""

    def launch_jobs(
        self, jobs: Sequence[Job], config_dirs: Sequence[Path], arguments: Sequence[str]
    ) -> list[JobReturn]:
        """Runs them all, and tells how each of them ended."""


STATE_WORDS = {"finished": "finished", "running": "running elsewhere", "new": "new"}  # the others are what they say


def sweep(
    compose: Callable[[list[str]], DictConfig],
    launcher: Launcher,
    product: Sequence[list[str]],
    arguments: Sequence[str],
    config_dirs: Sequence[Path] = (),
) -> list[JobReturn]:
    """Plans all jobs, launches what is missing, prints one table.

    Args:
        compose: overrides of one job → its configuration, without Hydra's own node.
        launcher: runs jobs, here or elsewhere.
        product: overrides of each job.
        arguments: what the user typed.
        config_dirs: the user's own folders with options.

    Returns:
        What the launched jobs returned.

    Raises:
        ConfigError: for the first job that could not start; nothing has been launched then.
        SweepFailed: after all jobs, when some failed.
    """
    jobs = plan(compose, product, config_dirs)
    if isinstance(launcher, JobLauncher):
        launcher.check(jobs, arguments)
    states = {job.run.run_id: job.run.state() for job in jobs}
    words = Counter(STATE_WORDS.get(state, state) for state in states.values())
    log.info(
        "%d run%s: %s",
        len(jobs),
        "s" if len(jobs) != 1 else "",
        ", ".join(f"{number} {word}" for word, number in words.items()),
    )
    tell_notes([note for job in jobs for note in job.manifest.notes])
    # A launcher of jobs elsewhere waits for one that has begun there, too.
    left = ("finished",) if isinstance(launcher, JobLauncher) else ("finished", "running")
    missing = [job for job in jobs if job.cfg["rerun"] or states[job.run.run_id] not in left]
    for job in jobs:
        if states[job.run.run_id] == "running" and "running" in left:
            log.info("left to the process that works on it: %s", job.run.directory.name)
    note_sweep(jobs, arguments)
    results: list[JobReturn] = []
    if missing:
        mirror_of(missing[0].cfg).prepare()  # before jobs that share the store could race to create it
        try:
            if isinstance(launcher, JobLauncher):
                results = launcher.launch_jobs(missing, config_dirs, arguments)
            else:
                results = list(launcher.launch([list(job.overrides) for job in missing], initial_job_idx=0))
        except KeyboardInterrupt:
            done = sum(job.run.state() == "finished" for job in jobs)
            log.info("%d of %d runs are finished", done, len(jobs))
            raise
    if isinstance(launcher, JobLauncher):
        show_finished(jobs)  # some may have ended after a driver before this one was closed
    print_sweep(jobs)
    register_finished(jobs)
    print_store(jobs[0].cfg)
    _raise_failures(jobs, missing, results)
    return results


def typed_axes(params: Mapping[str, Any]) -> list[str]:
    """The axes of a `sweep=` file as overrides.

    Args:
        params: key → values as they would be typed, or a list of them.
    """
    listed = {
        key: ",".join(map(str, values)) if isinstance(values, Sequence) and not isinstance(values, str) else values
        for key, values in params.items()
    }
    return [f"{key}={values}" for key, values in listed.items()]


def described(product: Sequence[Sequence[str]]) -> str:
    """What a product of overrides varies: `shots=1,2 × seed=0,1`."""
    axes: dict[str, dict[str, None]] = {}
    for override in (override for overrides in product for override in overrides):
        key, _, value = override.partition("=")
        axes.setdefault(key, {})[value] = None
    return " × ".join(f"{key}={','.join(values)}" for key, values in axes.items() if len(values) > 1)


def note_sweep(jobs: Sequence[Job], arguments: Sequence[str]) -> None:
    """Writes or extends `sweeps/<name>.json`; a run may belong to many sweeps."""
    name = jobs[0].cfg["sweep_name"]
    if name is None:
        return
    path = Path(jobs[0].cfg["paths"]["runs"]) / "sweeps" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    runs = {job.run.directory.name: list(job.overrides) for job in jobs}
    for _ in range(10):  # another process may have written in between
        known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"runs": {}}
        known["runs"] |= runs
        draft = path.with_suffix(f".{socket.gethostname()}-{os.getpid()}")
        draft.write_text(json.dumps(known | {"arguments": list(arguments)}, indent=2, ensure_ascii=False) + "\n")
        draft.replace(path)
        if json.loads(path.read_text())["runs"].keys() >= runs.keys():
            break


def _raise_failures(jobs: Sequence[Job], missing: Sequence[Job], results: Sequence[JobReturn]) -> None:
    names = {job.run.run_id: title for job, title in zip(jobs, titles(jobs), strict=True)}
    failed = []
    for job, result in zip(missing, results, strict=True):
        if result.status != JobStatus.FAILED:
            continue
        error = result._return_value
        if isinstance(error, Busy):  # another process was quicker
            log.info("skipped: %s", error)
            continue
        kind = "" if isinstance(error, JobFailed) else f"{type(error).__name__}: "
        failed.append(f"  {names[job.run.run_id]}: {kind}{error}")
        failed.append(f"    {getattr(error, 'log', job.run.directory / 'run.log')}")
    if failed:
        heading = f"{len(failed) // 2} of {len(results)} runs failed; each one's run.log has the traceback:"
        raise SweepFailed("\n".join([heading, *failed]))
