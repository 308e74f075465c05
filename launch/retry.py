"""`python -m launch.retry`: queues again what failed or was interrupted, as it was recorded, without it being typed."""

import json
import logging
from collections.abc import Mapping, Sequence, Set
from typing import Any

import yaml

from launch.chosen import Chosen, choose, rest
from launch.composition import Typed, launcher_of, read_sweep
from launch.standing import Standing, standings
from launch.stores import check_store, for_nodes
from launch.submission import Submission, submit
from launch.submit import ADDED, check_launcher, tell
from ordinalclip.cli.command import run_command
from ordinalclip.config.compose import plain
from ordinalclip.config.moved_names import current_names
from ordinalclip.errors import ConfigError
from ordinalclip.preparation.prepare import Job, prepare

log = logging.getLogger("ordinalclip")

_AGAIN = ("failed", "interrupted", "new")
_HOW = ("cluster", "cache", "num_workers", "tracking")  # how to compute, not what
_MAY_CHANGE = (*_HOW, "cluster.", "cache.", "tracking.", "hydra/launcher", "hydra.launcher.", "paths.")
_USAGE = """\
OrdinalCLIP queues again in SLURM what failed, was interrupted or never began, each with the settings that it had.

  python -m launch.retry sweep=NAME | run=RUN [cluster=SITE] [cluster.KEY=VALUE …] [hydra.launcher.KEY=VALUE …]

A run goes on from its last epoch. Settings of the run itself stay. Those of its job, such as its site's, stay where
nothing else is typed; those of hydra.launcher are not kept and are to be typed again.

Examples
  python -m launch.retry sweep=first
  python -m launch.retry sweep=first cluster.mem_gb=32 hydra.launcher.timeout_min=1440"""


def main() -> None:
    """Entry point."""
    run_command(run, _USAGE)


def run(words: Sequence[str]) -> list[Submission]:
    """Queues what is left of the chosen runs, together those whose jobs are to have the same of SLURM.

    Raises:
        ConfigError: a run's settings are not known, or can no longer be used.
    """
    config_dirs = [word for word in words if word.startswith("-")]
    if config_dirs:
        raise ConfigError(config_dirs[0], "", "is no setting", allowed="python -m launch.submit takes --config-dir")
    chosen = choose(words, more=_MAY_CHANGE)
    here = read_sweep(rest(words), "python -m launch.retry", ADDED)
    check_launcher(here)
    cfg = plain(here.compose(here.product[0]))
    stands = standings(chosen.runs, chosen.root)
    typed = {word.lstrip("+~").partition("=")[0] for word in words}
    jobs = [_job(one, chosen, here, cfg, typed) for one in stands if one.state in _AGAIN]
    if not jobs:
        log.info("nothing is left to queue of %d runs", len(stands))
        return []
    check_store(jobs, words, mirrored=False)
    alike: dict[str, list[Job]] = {}
    for job in jobs:
        alike.setdefault(json.dumps(job.cfg["cluster"], sort_keys=True), []).append(job)
    submissions = []
    for some in alike.values():
        whole = here.whole.copy()
        whole.cluster = some[0].cfg["cluster"]
        submissions.append(submit(some, here.config_dirs, launcher_of(whole), words))
        tell(submissions[-1])
    return submissions


def _job(one: Standing, chosen: Chosen, here: Typed, cfg: Mapping[str, Any], typed: Set[str]) -> Job:
    """A run's job as it was recorded, or typed where it never began, but for what is typed now of how and where."""
    name = one.run.directory.name
    overrides = chosen.overrides.get(name) or one.run.read_json("overrides.json") or []
    file = one.run.directory / "config.yaml"
    if file.is_file():
        recorded: dict[str, Any] = current_names(yaml.safe_load(file.read_text(encoding="utf-8")))
        if one.slurm_id is None:  # it was no job, so that its record says nothing of a site
            recorded["cluster"] = cfg["cluster"]
    elif overrides:
        recorded = plain(here.compose(overrides))
    else:
        raise ConfigError("run", name, "its settings are not known", remedy="type its command again")
    how = {key: _how(key, recorded, cfg, typed) for key in _HOW}
    moved = {key: value for key, value in cfg["paths"].items() if {"paths", f"paths.{key}"} & typed}
    settings = recorded | how | {"rerun": False}
    settings["paths"] = recorded["paths"] | moved | {"runs": str(chosen.root)}
    job = prepare(settings, tuple(overrides))
    if job.run.run_id != one.run.run_id:
        problem = "its data, weights or defaults are others now, so it would be another run"
        raise ConfigError("run", name, problem, remedy=f"type its command again: {' '.join(overrides)}")
    return job if any(key.startswith("tracking") for key in typed) else for_nodes(job)


def _how(key: str, recorded: Mapping[str, Any], cfg: Mapping[str, Any], typed: Set[str]) -> Any:
    """A setting, or a group of them, as it was recorded but for what is typed now."""
    now, before = cfg[key], recorded.get(key)
    changed = {word.partition(".")[2] for word in typed if word.startswith(f"{key}.")}
    if key in typed or before is None or (key == "tracking" and changed):  # whose keys depend on its option
        return now
    return now | before | {name: now[name] for name in changed} if isinstance(now, dict) else before


if __name__ == "__main__":
    main()
