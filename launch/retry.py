"""`python -m launch.retry`: queues failed, interrupted and unstarted runs again, with their recorded settings."""

import json
import logging
from collections.abc import Mapping, Sequence, Set
from typing import Any

import yaml

from launch.composition import SweepRequest, launcher_of, read_sweep
from launch.run_states import RunState, read_run_states
from launch.selection import Selection, remaining_words, select_runs
from launch.stores import check_store, without_sqlite
from launch.submission import Submission, submit
from launch.submit import DEFAULT_OVERRIDES, check_launcher, report_submission
from ordinalclip.cli.command import run_command
from ordinalclip.config.compose import plain_config
from ordinalclip.config.moved_names import current_names
from ordinalclip.errors import ConfigError
from ordinalclip.preparation.prepare import Job, prepare

log = logging.getLogger("ordinalclip")

_RETRIED_STATES = ("failed", "interrupted", "new")
_EXECUTION_KEYS = ("cluster", "cache", "num_workers", "tracking")  # do not change the result
_ALLOWED_KEYS = (*_EXECUTION_KEYS, "cluster.", "cache.", "tracking.", "hydra/launcher", "hydra.launcher.", "paths.")
_USAGE = """\
OrdinalCLIP queues failed, interrupted and unstarted runs in SLURM again, each with its recorded settings.

  python -m launch.retry sweep=NAME | run=RUN [cluster=SITE] [cluster.KEY=VALUE …] [hydra.launcher.KEY=VALUE …]

A run resumes from its last epoch. Its own settings cannot be changed. Settings of its job, such as the site's, are kept
unless typed; settings of hydra.launcher are not recorded and have to be typed again.

Examples
  python -m launch.retry sweep=first
  python -m launch.retry sweep=first cluster.mem_gb=32 hydra.launcher.timeout_min=1440"""


def main() -> None:
    """Entry point."""
    run_command(run, _USAGE)


def run(words: Sequence[str]) -> list[Submission]:
    """Queues the unfinished runs of a selection, in one submission per distinct `cluster` settings.

    Raises:
        ConfigError: if a run's settings are not known or no longer valid.
    """
    config_dirs = [word for word in words if word.startswith("-")]
    if config_dirs:
        raise ConfigError(config_dirs[0], "", "is no setting", allowed="python -m launch.submit takes --config-dir")
    selection = select_runs(words, more=_ALLOWED_KEYS)
    request = read_sweep(remaining_words(words), "python -m launch.retry", DEFAULT_OVERRIDES)
    check_launcher(request)
    cfg = plain_config(request.compose(request.product[0]))
    states = read_run_states(selection.runs, selection.root)
    typed = {word.lstrip("+~").partition("=")[0] for word in words}
    jobs = [_job(one, selection, request, cfg, typed) for one in states if one.state in _RETRIED_STATES]
    if not jobs:
        log.info("nothing is left to queue of %d runs", len(states))
        return []
    check_store(jobs, words, mirrored=False)
    by_cluster: dict[str, list[Job]] = {}
    for job in jobs:
        by_cluster.setdefault(json.dumps(job.cfg["cluster"], sort_keys=True), []).append(job)
    submissions = []
    for some in by_cluster.values():
        whole = request.whole.copy()
        whole.cluster = some[0].cfg["cluster"]
        submissions.append(submit(some, request.config_dirs, launcher_of(whole), words))
        report_submission(submissions[-1])
    return submissions


def _job(one: RunState, selection: Selection, request: SweepRequest, cfg: Mapping[str, Any], typed: Set[str]) -> Job:
    """Prepares a run with its recorded settings, or its overrides if it never began, and the typed execution settings.

    Args:
        one: the run.
        selection: with the overrides of the runs of a sweep.
        request: this command.
        cfg: its configuration.
        typed: keys on its command line.
    """
    name = one.run.directory.name
    overrides = selection.overrides.get(name) or one.run.read_json("overrides.json") or []
    file = one.run.directory / "config.yaml"
    if file.is_file():
        recorded: dict[str, Any] = current_names(yaml.safe_load(file.read_text(encoding="utf-8")))
        if one.slurm_id is None:  # not a job, so its recorded site has no meaning
            recorded["cluster"] = cfg["cluster"]
    elif overrides:
        recorded = plain_config(request.compose(overrides))
    else:
        raise ConfigError("run", name, "its settings are not known", remedy="type its command again")
    execution = {key: _execution_setting(key, recorded, cfg, typed) for key in _EXECUTION_KEYS}
    moved = {key: value for key, value in cfg["paths"].items() if {"paths", f"paths.{key}"} & typed}
    settings = recorded | execution | {"rerun": False}
    settings["paths"] = recorded["paths"] | moved | {"runs": str(selection.root)}
    job = prepare(settings, tuple(overrides))
    if job.run.run_id != one.run.run_id:
        problem = "its data, weights or defaults are others now, so it would be another run"
        raise ConfigError("run", name, problem, remedy=f"type its command again: {' '.join(overrides)}")
    return job if any(key.startswith("tracking") for key in typed) else without_sqlite(job)


def _execution_setting(key: str, recorded: Mapping[str, Any], cfg: Mapping[str, Any], typed: Set[str]) -> Any:
    """A setting or group: as recorded, updated by the typed keys."""
    now, before = cfg[key], recorded.get(key)
    changed = {word.partition(".")[2] for word in typed if word.startswith(f"{key}.")}
    if key in typed or before is None or (key == "tracking" and changed):  # keys of tracking depend on its option
        return now
    return now | before | {name: now[name] for name in changed} if isinstance(now, dict) else before


if __name__ == "__main__":
    main()
