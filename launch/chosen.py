"""Which runs a command is about: `sweep=NAME`, `run=RUN`, or all below `paths.runs`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launch.claims import Claims
from ordinalclip.config.compose import composed
from ordinalclip.config.signatures import did_you_mean
from ordinalclip.errors import ConfigError
from ordinalclip.runs.find import find_run, noted_runs, runs_of_sweep
from ordinalclip.runs.run import Run, find_runs

_WHICH = ("sweep", "run")
_WHERE = ("paths", "paths.runs")


@dataclass(frozen=True)
class Chosen:
    """Some runs.

    Attributes:
        root: the folder of all runs.
        runs: those that are meant, there already or to come.
        overrides: name of a run's directory → what was typed for it, of a sweep's runs.
    """

    root: Path
    runs: list[Run]
    overrides: dict[str, list[str]]


def choose(words: Sequence[str], *, all_by_default: bool = False, more: Sequence[str] = ()) -> Chosen:
    """Finds the runs that are meant.

    Args:
        words: `sweep=…` or `run=…`, and where runs lie.
        all_by_default: take all where neither is given.
        more: other keys that may be typed; one that ends with a dot stands for all that begin with it.

    Raises:
        ConfigError: for another key, for a sweep or a run that there is not, or where none is named.
    """
    _check(words, more)
    typed = dict(word.partition("=")[::2] for word in words)
    where = [word for word in words if word.startswith(("paths=", "paths."))]
    root = Path(composed(where)["paths"]["runs"]).absolute()
    if "run" in typed:
        return Chosen(root, [_run(typed["run"], root)], {})
    if "sweep" in typed:
        overrides = _of_sweep(typed["sweep"], root)
        return Chosen(root, [Run(root / name) for name in overrides], overrides)
    if not all_by_default:
        raise ConfigError("sweep", "", "which runs?", allowed="sweep=NAME, run=RUN")
    names = {run.directory.name for run in find_runs(root)} | {claim.run for claim in Claims(root).read().values()}
    return Chosen(root, [Run(root / name) for name in sorted(names)], {})


def rest(words: Sequence[str]) -> list[str]:
    """What was typed beside the choice of runs."""
    return [word for word in words if word.partition("=")[0] not in _WHICH]


def _check(words: Sequence[str], more: Sequence[str]) -> None:
    """Refuses what would be passed over."""
    keys = (*_WHICH, "paths.runs", *more)
    prefixes = tuple(key for key in more if key.endswith("."))
    for word in words:
        key, equals, value = word.lstrip("+~").partition("=")
        if not equals and not word.startswith(("-", "~")):
            raise ConfigError("sweep", "", f"which runs is {word!r}?", allowed=f"sweep={word}, run={word}")
        if key not in (*_WHICH, *_WHERE, *more) and not key.startswith(prefixes):
            allowed = ", ".join(f"{one}…" if one in prefixes else one for one in keys)
            hint = did_you_mean(key, keys)
            raise ConfigError(key, value, "is no setting of this command", allowed=allowed, remedy=hint)


def _of_sweep(name: str, root: Path) -> dict[str, list[str]]:
    """What was typed for each run of a sweep, whether its note lists it or it was given the name by itself."""
    overrides = dict(noted_runs(name, root) or {})
    for run in runs_of_sweep(name, root, "sweep"):
        overrides.setdefault(run.directory.name, run.read_json("overrides.json") or [])
    return overrides


def _run(name: str, root: Path) -> Run:
    """A run that has begun, or one that waits."""
    for claim in Claims(root).read().values():
        if name in (claim.run_id, claim.run):
            return Run(root / claim.run)
    return find_run(name, root, "run")
