"""What the ranks of an imported model are called, and what they stand for."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ordinalclip.prompts.names import rank_names_of
from ordinalclip.reference.settings import ReferenceSettings


def names_of(typed: str | None, settings: ReferenceSettings, config: Path) -> list[str] | None:
    """One name a rank: those that were typed, or the file that the configuration names where it is to be found.

    Args:
        typed: a file with a name a line, or None.
        settings: name a file, perhaps.
        config: beside which that file may lie.

    Raises:
        ConfigError: the typed file cannot be read, or has another number of names.
    """
    if typed is not None:
        return rank_names_of({"rank_names": typed}, settings.num_ranks)
    if settings.rank_file is not None:
        for folder in (Path(), config.parent):
            if (folder / settings.rank_file).is_file():
                names = rank_names_of({"rank_names": str(folder / settings.rank_file)})
                # For the rank learner there may be one name a base rank.
                return names if names is not None and len(names) == settings.num_ranks else None
    return None


def ranks_of(names: Sequence[str] | None, settings: ReferenceSettings) -> dict[str, Any]:
    """Names and values of the ranks: the numbers that their names are, else 0…R-1."""
    shown = [str(rank) for rank in range(settings.num_ranks)] if names is None else list(names)
    try:
        values = [float(name) for name in shown]
    except ValueError:
        values = []
    rising = all(low < high for low, high in pairwise(values))
    return {
        "names": shown,
        "values": values if values and rising else [float(r) for r in range(len(shown))],
        "unit": "",
    }
