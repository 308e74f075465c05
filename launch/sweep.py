"""Sweeps (`-m`): all jobs are composed and checked before the first one starts; only missing runs are launched."""

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

from launch.slurm_outcome import JobFailed
from launch.stores import copy_finished
from ordinalclip.errors import Busy, SweepFailed
from ordinalclip.execution.job import mirror_of, register_finished
from ordinalclip.preparation.prepare import Job, log_notes, plan
from ordinalclip.report.tables import print_store, print_sweep, titles

log = logging.getLogger("ordinalclip")


@runtime_checkable
class JobLauncher(Protocol):
    """A launcher that takes checked jobs and runs them on other machines."""

    def check(self, jobs: Sequence[Job], arguments: Sequence[str]) -> None:
        """Raises ConfigError for settings that are invalid on other machines, before anything is launched."""

    def launch_jobs(
        self, jobs: Sequence[Job], config_dirs: Sequence[Path], arguments: Sequence[str]
    ) -> list[JobReturn]:
        """Runs all jobs and returns their results."""


def sweep(
    compose: Callable[[list[str]], DictConfig],
    launcher: Launcher,
    product: Sequence[list[str]],
    arguments: Sequence[str],
    config_dirs: Sequence[Path] = (),
) -> list[JobReturn]:
    """Plans all jobs, launches those with missing runs, and prints one table of all.

    Args:
        compose: composes the configuration of a job, without the `hydra` node.
        launcher: runs jobs, on this machine or others.
        product: overrides of each job.
        arguments: as typed by the user.
        config_dirs: directories given by --config-dir.

    Returns:
        The results of the launched jobs.

    Raises:
        ConfigError: for the first invalid job; nothing has been launched.
        SweepFailed: after all jobs, if some failed.
    """
    jobs = plan(compose, product, config_dirs)
    if isinstance(launcher, JobLauncher):
        launcher.check(jobs, arguments)
    states = {job.run.run_id: job.run.state() for job in jobs}
    log.info("%s", count_states(list(states.values())))
    log_notes([note for job in jobs for note in job.manifest.notes])
    # A launcher for other machines also waits for jobs that are running there.
    skipped = ("finished",) if isinstance(launcher, JobLauncher) else ("finished", "running")
    missing = [job for job in jobs if job.cfg["rerun"] or states[job.run.run_id] not in skipped]
    for job in jobs:
        if states[job.run.run_id] == "running" and "running" in skipped:
            log.info("left to the process that works on it: %s", job.run.directory.name)
    record_sweep(jobs, arguments)
    results: list[JobReturn] = []
    if missing:
        mirror_of(missing[0].cfg).prepare()  # so that jobs with the same store do not race to create it
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
        copy_finished(jobs)  # some may have ended after an earlier launcher was killed
    print_sweep(jobs)
    register_finished(jobs)
    print_store(jobs[0].cfg)
    _raise_failures(jobs, missing, results)
    return results


def count_states(states: Sequence[str]) -> str:
    """Returns a line such as `3 runs: 2 finished, 1 new`."""
    counts = Counter("running elsewhere" if state == "running" else state for state in states)
    words = ", ".join(f"{number} {word}" for word, number in counts.items())
    return f"{len(states)} run{'s' if len(states) != 1 else ''}: {words}"


def typed_axes(params: Mapping[str, Any]) -> list[str]:
    """Returns the axes of a `sweep=` file as overrides.

    Args:
        params: key → values as typed on a command line, or a list of values.
    """
    listed = {
        key: ",".join(map(str, values)) if isinstance(values, Sequence) and not isinstance(values, str) else values
        for key, values in params.items()
    }
    return [f"{key}={values}" for key, values in listed.items()]


def described(product: Sequence[Sequence[str]]) -> str:
    """Returns the axes that a product of overrides varies, such as `shots=1,2 × seed=0,1`."""
    axes: dict[str, dict[str, None]] = {}
    for override in (override for overrides in product for override in overrides):
        key, _, value = override.partition("=")
        axes.setdefault(key, {})[value] = None
    return " × ".join(f"{key}={','.join(values)}" for key, values in axes.items() if len(values) > 1)


def record_sweep(jobs: Sequence[Job], arguments: Sequence[str]) -> None:
    """Adds the runs to `sweeps/<name>.json`, which is created if missing; a run may belong to several sweeps."""
    name = jobs[0].cfg["sweep_name"]
    if name is None:
        return
    path = Path(jobs[0].cfg["paths"]["runs"]) / "sweeps" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    runs = {job.run.directory.name: list(job.overrides) for job in jobs}
    for _ in range(10):  # another process may overwrite the file in between
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
        if isinstance(error, Busy):  # another process has started the run
            log.info("skipped: %s", error)
            continue
        kind = "" if isinstance(error, JobFailed) else f"{type(error).__name__}: "
        failed.append(f"  {names[job.run.run_id]}: {kind}{error}")
        failed.append(f"    {getattr(error, 'log', job.run.directory / 'run.log')}")
    if failed:
        heading = f"{len(failed) // 2} of {len(results)} runs failed; each one's run.log has the traceback:"
        raise SweepFailed("\n".join([heading, *failed]))
