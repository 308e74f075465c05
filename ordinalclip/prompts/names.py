"""Names of the ranks for the prompt alone, in place of the data set's. Needs no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ordinalclip.errors import ConfigError

_ALLOWED = "a list of names, the lowest rank's first; a text file with one name a line, _ for a space; or null"


def rank_names_of(prompt: Mapping[str, Any], num_ranks: int | None = None) -> list[str] | None:
    """The names that `prompt.rank_names` gives, or None where the data set's are to be used.

    Args:
        prompt: the `prompt` group.
        num_ranks: R, if it is known by now.

    Raises:
        ConfigError: a file that is not there or not text, an empty name, another number of names than of ranks.
    """
    given = prompt.get("rank_names")
    if given is None:
        return None
    names = _lines(given) if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() != "" for name in names):
        raise ConfigError(
            "prompt.rank_names", given, "is not made of names", allowed=_ALLOWED, remedy='7 is text as "7"'
        )
    if num_ranks is not None and len(names) != num_ranks:
        problem = f"{len(names)} names for {num_ranks} ranks"
        remedy = "prompt.base_rank_names takes one a base rank" if len(names) == prompt.get("num_base_ranks") else ""
        raise ConfigError("prompt.rank_names", given, problem, allowed=f"{num_ranks} names", remedy=remedy)
    return names


def with_names_read(cfg: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the names themselves in the place of their file, whose path tells nothing of a run."""
    names = rank_names_of(cfg["prompt"])
    return cfg if names is None else cfg | {"prompt": cfg["prompt"] | {"rank_names": names}}


def _lines(path: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("prompt.rank_names", path, f"cannot be read: {error}", allowed=_ALLOWED) from None
    return [line.replace("_", " ").strip() for line in text.rstrip().splitlines()]
