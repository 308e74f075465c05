"""The runs of a sweep: by its note beside them, and by the name that each was given."""

import json
from pathlib import Path

from ordinalclip.errors import ConfigError
from ordinalclip.runs import Run, find_runs


def runs_of_sweep(name: str, root: Path, key: str, asked: str | None = None) -> list[Run]:
    """The runs that a sweep's note lists, as far as they are there, and those given its name one by one (`sweep=NAME`).

    Args:
        name: of the sweep.
        root: the folder of the runs.
        key: that was typed, for the message.
        asked: its value; None: the sweep's name.

    Raises:
        ConfigError: there is no such sweep in the folder.
    """
    file = root / "sweeps" / f"{name}.json"
    listed = json.loads(file.read_text(encoding="utf-8"))["runs"] if file.is_file() else []
    named = {run: (run.read_json("labels.json") or {}).get("sweep") for run in find_runs(root)}
    found = [run for run, sweep in named.items() if run.directory.name in listed or sweep == name]
    if not found and not file.is_file():
        known = {path.stem for path in file.parent.glob("*.json")} | {sweep for sweep in named.values() if sweep}
        there = ", ".join(sorted(known)) or "none"
        raise ConfigError(key, asked or name, f"there is no sweep {name} in {root}", allowed=there)
    return found
