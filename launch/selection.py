"""The runs that a command applies to, selected by `sweep=NAME` or `run=RUN`, or all runs below `paths.runs`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.queue_claims import Claims
from ordinalclip.config.compose import compose_config, name_runs
from ordinalclip.errors import ConfigError, did_you_mean
from ordinalclip.runs.find import find_run, noted_runs, runs_of_sweep
from ordinalclip.runs.run import Run, find_runs

_SELECTING_KEYS = ("sweep", "run")
_PATH_KEYS = ("paths", "paths.runs")


@dataclass(frozen=True)
class Selection:
    """Selected runs.

    Attributes:
        root: the folder of all runs.
        runs: the selected runs; their directories need not exist yet.
        overrides: for a sweep, name of a run's directory → its overrides as typed.
    """

    root: Path
    runs: list[Run]
    overrides: dict[str, list[str]]


def select_runs(words: Sequence[str], *, all_by_default: bool = False, more: Sequence[str] = ()) -> Selection:
    """Selects runs by the words of a command line.

    Args:
        words: `sweep=…` or `run=…`, and `paths.…`.
        all_by_default: select all runs if neither is given.
        more: other keys that are allowed; a key that ends with a dot is a prefix.

    Raises:
        ConfigError: if a key is not allowed, the sweep or run does not exist, or neither is given.
    """
    words = name_runs(words)
    _check(words, more)
    typed = dict(word.partition("=")[::2] for word in words)
    where = [word for word in words if word.startswith(("paths=", "paths."))]
    root = Path(compose_config(where)["paths"]["runs"]).absolute()
    if "run" in typed:
        return Selection(root, [_find_run(typed["run"], root)], {})
    if "sweep" in typed:
        overrides = _sweep_overrides(typed["sweep"], root)
        return Selection(root, [Run(root / name) for name in overrides], overrides)
    if not all_by_default:
        raise ConfigError("sweep", "", "which runs?", allowed="sweep=NAME, run=RUN")
    names = {run.directory.name for run in find_runs(root)} | {claim.run for claim in Claims(root).read().values()}
    return Selection(root, [Run(root / name) for name in sorted(names)], {})


def remaining_words(words: Sequence[str]) -> list[str]:
    """The words that do not select runs."""
    return [word for word in words if word.partition("=")[0] not in _SELECTING_KEYS]


def _check(words: Sequence[str], more: Sequence[str]) -> None:
    """Raises ConfigError for words that would be ignored."""
    keys = (*_SELECTING_KEYS, "paths.runs", *more)
    prefixes = tuple(key for key in more if key.endswith("."))
    for word in words:
        key, equals, value = word.lstrip("+~").partition("=")
        if not equals and not word.startswith(("-", "~")):
            raise ConfigError("sweep", "", f"which runs is {word!r}?", allowed=f"sweep={word}, run={word}")
        if key not in (*_SELECTING_KEYS, *_PATH_KEYS, *more) and not key.startswith(prefixes):
            allowed = ", ".join(f"{one}…" if one in prefixes else one for one in keys)
            hint = did_you_mean(key, keys)
            raise ConfigError(key, value, "is no setting of this command", allowed=allowed, remedy=hint)


def _sweep_overrides(name: str, root: Path) -> dict[str, list[str]]:
    """Overrides of each run of a sweep: runs listed in `sweeps/<name>.json`, and runs with the sweep's name."""
    overrides = dict(noted_runs(name, root) or {})
    for run in runs_of_sweep(name, root, "sweep"):
        overrides.setdefault(run.directory.name, run.read_json("overrides.json") or [])
    return overrides


def _find_run(name: str, root: Path) -> Run:
    """Finds a queued run or one that has begun."""
    for claim in Claims(root).read().values():
        if name in (claim.run_id, claim.run):
            return Run(root / claim.run)
    return find_run(name, root, "run")
