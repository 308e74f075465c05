"""The runs that a command would start: composed, checked, with missing data or weights and each run's state."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from launch.composition import SweepRequest
from launch.run_states import RunState, read_run_states
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.preparation.checks import check
from ordinalclip.preparation.prepare import Job, add_job_note, composed_jobs, manifest_of, prepare


@dataclass(frozen=True)
class PlannedRun:
    """One job of a sweep.

    Attributes:
        overrides: of the job.
        cfg: its configuration.
        job: the prepared job; None if data or weights are not on this machine.
        lacks: what is missing, one line each.
        state: of the run; None if its id is not known because data or weights are missing.
    """

    overrides: tuple[str, ...]
    cfg: dict[str, Any]
    job: Job | None
    lacks: tuple[str, ...] = ()
    state: RunState | None = None


def plan_runs(typed: SweepRequest) -> list[PlannedRun]:
    """Returns the distinct runs of a sweep.

    Raises:
        ConfigError: for the first setting that is invalid on every machine.
    """
    cfgs = composed_jobs(typed.compose, typed.product, check, typed.config_dirs)
    known: dict[str, tuple[str, ...]] = {}
    planned: dict[str, PlannedRun] = {}
    for cfg, overrides in zip(cfgs, typed.product, strict=True):
        try:
            job, lacks = _try_prepare(cfg, tuple(overrides), known)
        except ConfigError as error:
            add_job_note(error, overrides, typed.product)
            raise
        key = job.run.run_id if job else repr(sorted(cfg.items()))
        planned.setdefault(key, PlannedRun(tuple(overrides), cfg, job, lacks))
    return _with_states(list(planned.values()))


def _try_prepare(
    cfg: dict[str, Any], overrides: tuple[str, ...], known: dict[str, tuple[str, ...]]
) -> tuple[Job | None, tuple[str, ...]]:
    """Returns the job, or what it lacks. `known` caches what is missing by the settings that determine it."""
    key = repr([cfg[group] for group in ("backbone", "dataset", "protocol", "paths", "init")])
    if key not in known:
        try:
            return prepare(cfg, overrides), ()
        except DataError as error:
            known[key] = (f"data: {_first_line(error)}",)
        except ConfigError as error:
            if error.key.partition(".")[0] not in ("backbone", "init", "dataset"):
                raise
            kind = "data" if error.key.startswith("dataset") else "weights"
            known[key] = (f"{kind}: {_first_line(error)}", *_missing_data(cfg))
    return None, known[key]


def _missing_data(cfg: dict[str, Any]) -> list[str]:
    try:
        manifest_of(cfg)
    except (ConfigError, DataError) as error:
        return [f"data: {_first_line(error)}"]
    return []


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _with_states(planned: Sequence[PlannedRun]) -> list[PlannedRun]:
    jobs = [one.job for one in planned if one.job is not None]
    if not jobs:
        return list(planned)
    root = Path(jobs[0].cfg["paths"]["runs"]).absolute()
    states = iter(read_run_states([job.run for job in jobs], root))
    return [one if one.job is None else replace(one, state=next(states)) for one in planned]
