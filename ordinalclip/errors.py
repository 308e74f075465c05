"""Errors that a command prints as one message, without a traceback.

`ConfigError` and `DataError` are mistakes of the user, raised before any expensive work; commands end with status 2.
`Busy`, `Superseded` and `SweepFailed` end a run or a sweep; commands end with status 1.
All of them can be pickled, since launchers send them to other processes.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class ConfigError(ValueError):
    """A setting that cannot be used.

    Args:
        key: full configuration key, such as `prompt.num_base_ranks`.
        value: what was given.
        problem: what is wrong with it, a clause without a capital.
        allowed: what is allowed instead.
        remedy: what to do, if writing an allowed value is not enough.
    """

    def __init__(self, key: str, value: object, problem: str, *, allowed: str = "", remedy: str = "") -> None:
        self.key, self.value, self.problem, self.allowed, self.remedy = key, value, problem, allowed, remedy
        lines = [f"{key}={value}: {problem}"]
        if allowed:
            lines.append(f"  allowed: {allowed}")
        if remedy:
            lines.append(f"  what to do: {remedy}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        # Launchers pickle exceptions; the default would call __init__ with the message as its only argument.
        return _rebuild, (self.key, self.value, self.problem, self.allowed, self.remedy)


class DataError(ValueError):
    """A data set or a file that cannot be used; the message names it."""


class Busy(RuntimeError):
    """Another process is working on the run."""


class Superseded(RuntimeError):
    """A newer attempt has taken over the run; this process must not write any more."""


class SweepFailed(RuntimeError):
    """Some runs of a sweep failed; the others are finished."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Returns a remedy that names the choices most similar to a word, or "" if none is similar."""
    close = get_close_matches(word, list(choices), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else ""


def _rebuild(key: str, value: object, problem: str, allowed: str, remedy: str) -> ConfigError:
    return ConfigError(key, value, problem, allowed=allowed, remedy=remedy)
