"""The data set of an imported run that was not told what it was trained on."""

from pathlib import Path
from typing import NoReturn

from ordinalclip.errors import DataError


def load_unknown(*, data_dir: Path, cache_dir: Path) -> NoReturn:
    """Refuses: only the ranks of an imported run are known.

    Args:
        data_dir: not used.
        cache_dir: not used.

    Raises:
        DataError: always, with what to type.
    """
    raise DataError("this run was imported without its data set\n  what to do: name one: dataset=…")
