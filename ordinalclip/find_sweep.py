"""The runs of a sweep, by its note beside them."""

import json
from pathlib import Path

from ordinalclip.errors import ConfigError
from ordinalclip.runs import Run


def runs_of_sweep(name: str, root: Path, key: str, asked: str | None = None) -> list[Run]:
    """The runs that a sweep's note lists, as far as they are there.

    Args:
        name: of the sweep.
        root: the folder of the runs.
        key: that was typed, for the message.
        asked: its value; None: the sweep's name.

    Raises:
        ConfigError: there is no such sweep in the folder.
    """
    file = root / "sweeps" / f"{name}.json"
    if not file.is_file():
        there = ", ".join(sorted(path.stem for path in file.parent.glob("*.json"))) or "none"
        raise ConfigError(key, asked or name, f"there is no sweep {name} in {root}", allowed=there)
    names = json.loads(file.read_text(encoding="utf-8"))["runs"]
    return [Run(root / directory) for directory in names if (root / directory).is_dir()]
