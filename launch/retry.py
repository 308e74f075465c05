"""`python -m launch.retry`: queues again what failed or was interrupted, as it was recorded, without it being typed."""

import logging
from collections.abc import Sequence
from typing import Any

import yaml

from launch.chosen import Chosen, choose, rest
from launch.standing import Standing, standings
from launch.submission import Submission, submit
from launch.submit import ADDED, check_launcher, tell
from launch.typed import Typed, read_sweep
from ordinalclip.command import run_command
from ordinalclip.config import plain
from ordinalclip.errors import ConfigError
from ordinalclip.prepare import Job, prepare

log = logging.getLogger("ordinalclip")

_AGAIN = ("failed", "interrupted", "new")
_HERE = ("cluster", "cache", "num_workers", "tracking")  # how to compute, not what
_MAY_CHANGE = (*_HERE, "cluster.", "cache.", "tracking.", "hydra/launcher", "hydra.launcher.", "paths.")
_USAGE = """\
OrdinalCLIP queues again in SLURM what failed, was interrupted or never began, each with the settings that it had.

  python -m launch.retry sweep=NAME | run=RUN [cluster=SITE] [cluster.KEY=VALUE …] [hydra.launcher.KEY=VALUE …]

A run goes on from its last epoch. Settings of the run itself stay; those of its job may be others, such as more memory.

Examples
  python -m launch.retry sweep=first
  python -m launch.retry sweep=first cluster.mem_gb=32 hydra.launcher.timeout_min=1440"""


def main() -> None:
    """Entry point."""
    run_command(run, _USAGE)


def run(words: Sequence[str]) -> Submission | None:
    """Queues what is left of the chosen runs; None where that is nothing.

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
    typed = {word.partition("=")[0] for word in words}
    moved = {key: value for key, value in cfg["paths"].items() if {"paths", f"paths.{key}"} & typed}
    here_cfg = {key: cfg[key] for key in _HERE}
    jobs = [_job(one, chosen, here, here_cfg, moved) for one in stands if one.state in _AGAIN]
    if not jobs:
        log.info("nothing is left to queue of %d runs", len(stands))
        return None
    submission = submit(jobs, here.config_dirs, here.launcher, words)
    tell(submission)
    return submission


def _job(one: Standing, chosen: Chosen, here: Typed, how: dict[str, Any], moved: dict[str, str]) -> Job:
    """A run's job as it was recorded, or typed where it never began; how to compute it, and where, is as of now."""
    name = one.run.directory.name
    overrides = chosen.overrides.get(name) or one.run.read_json("overrides.json") or []
    file = one.run.directory / "config.yaml"
    if file.is_file():
        recorded: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    elif overrides:
        recorded = plain(here.compose(overrides))
    else:
        raise ConfigError("run", name, "its settings are not known", remedy="type its command again")
    settings = recorded | how | {"rerun": False}
    settings["paths"] = recorded["paths"] | moved | {"runs": str(chosen.root)}
    job = prepare(settings, tuple(overrides))
    if job.run.run_id != one.run.run_id:
        problem = "its data, weights or defaults are others now, so it would be another run"
        raise ConfigError("run", name, problem, remedy=f"type its command again: {' '.join(overrides)}")
    return job


if __name__ == "__main__":
    main()
