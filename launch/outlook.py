"""What a sweep's jobs would do: each composed and checked, what it lacks on this machine, how its run stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.composition import Typed
from launch.standing import Standing, standings
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.preparation.checks import check
from ordinalclip.preparation.prepare import Job, composed_jobs, manifest_of, prepare


@dataclass(frozen=True)
class Planned:
    """One job of a sweep.

    Attributes:
        overrides: what was typed for it.
        cfg: its configuration.
        job: ready to start; None where something is not on this machine.
        lacks: what that is, one line each.
        standing: how its run stands; None where the run cannot be named yet, as its data are not here.
    """

    overrides: tuple[str, ...]
    cfg: dict[str, Any]
    job: Job | None
    lacks: tuple[str, ...] = ()
    standing: Standing | None = None


def outlook(typed: Typed) -> list[Planned]:
    """The distinct jobs of a sweep.

    Raises:
        ConfigError: for the first setting that cannot be used on any machine.
    """
    cfgs = composed_jobs(typed.compose, typed.product, check, typed.config_dirs)
    known: dict[str, tuple[str, ...]] = {}
    planned: dict[str, Planned] = {}
    for cfg, overrides in zip(cfgs, typed.product, strict=True):
        job, lacks = _prepared(cfg, tuple(overrides), known)
        planned.setdefault(
            job.run.run_id if job else repr(sorted(cfg.items())), Planned(tuple(overrides), cfg, job, lacks)
        )
    return _with_standings(list(planned.values()))


def _prepared(
    cfg: dict[str, Any], overrides: tuple[str, ...], known: dict[str, tuple[str, ...]]
) -> tuple[Job | None, tuple[str, ...]]:
    """The job, or what it lacks; what is not here is looked for once."""
    key = repr([cfg[group] for group in ("backbone", "dataset", "protocol", "paths", "init")])
    if key not in known:
        try:
            return prepare(cfg, overrides), ()
        except DataError as error:
            known[key] = (f"data: {_first(error)}",)
        except ConfigError as error:
            if error.key.partition(".")[0] not in ("backbone", "init", "dataset"):
                raise
            known[key] = (f"{'data' if error.key.startswith('dataset') else 'weights'}: {_first(error)}", *_data(cfg))
    return None, known[key]


def _data(cfg: dict[str, Any]) -> list[str]:
    """Whether the data are here, where the weights already are not."""
    try:
        manifest_of(cfg)
    except (ConfigError, DataError) as error:
        return [f"data: {_first(error)}"]
    return []


def _first(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _with_standings(planned: Sequence[Planned]) -> list[Planned]:
    jobs = [one.job for one in planned if one.job is not None]
    if not jobs:
        return list(planned)
    root = Path(jobs[0].cfg["paths"]["runs"]).absolute()
    stands = iter(standings([job.run for job in jobs], root))
    return [
        one if one.job is None else Planned(one.overrides, one.cfg, one.job, one.lacks, next(stands)) for one in planned
    ]
