"""The data set of an imported run whose data set is not known."""

from pathlib import Path
from typing import NoReturn

from ordinalclip.errors import DataError


def load_unknown(*, data_dir: Path, cache_dir: Path) -> NoReturn:
    """Raise DataError, with the option to set: only the ranks of an imported run are known."""
    raise DataError("this run was imported without its data set\n  what to do: name one: dataset=…")
