"""A sweep by its name, and its runs: those in its note beside them, and those that were given the name."""

import json
import re
from difflib import get_close_matches
from pathlib import Path

from ordinalclip.errors import ConfigError
from ordinalclip.runs import Run, find_runs


def check_sweep_name(name: str | None) -> None:
    """Raises a ConfigError for a name that cannot be one of a file beside the runs and of a tag in MLflow."""
    if name is not None and not re.fullmatch(r"\w[\w. -]{0,99}", name):
        allowed = "up to 100 letters, digits, _ . - and blanks, a letter, a digit or _ first"
        raise ConfigError("sweep_name", name, "cannot be a sweep's name", allowed=allowed)


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
    noted = noted_runs(name, root)
    named = {run: (run.read_json("labels.json") or {}).get("sweep") for run in find_runs(root)}
    found = [run for run, sweep in named.items() if run.directory.name in (noted or {}) or sweep == name]
    if not found and noted is None:
        known = {path.stem for path in _note(name, root).parent.glob("*.json")}
        known |= {sweep for sweep in named.values() if sweep}
        near = get_close_matches(name, known, n=3)
        remedy = f"did you mean {' or '.join(near)}?" if near else ""
        there, problem = ", ".join(sorted(known)) or "none", f"there is no sweep {name} in {root}"
        raise ConfigError(key, asked or name, problem, allowed=there, remedy=remedy)
    return found


def noted_runs(name: str, root: Path) -> dict[str, list[str]] | None:
    """What a sweep's note lists, also of runs that are still to come.

    Args:
        name: of the sweep.
        root: the folder of the runs.

    Returns:
        Name of a run's directory → what was typed for it; None where there is no note.
    """
    file = _note(name, root)
    if not file.is_file():
        return None
    runs: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))["runs"]
    return runs


def _note(name: str, root: Path) -> Path:
    return root / "sweeps" / f"{name}.json"
