"""Lookup of a run by its directory, the directory's name or its id, and of a sweep's runs by its name.

The runs of a sweep are those that its note `sweeps/<name>.json` beside the runs lists, and those started with
`sweep=<name>`.
"""

import json
import re
from difflib import get_close_matches
from pathlib import Path

from ordinalclip.errors import ConfigError
from ordinalclip.runs.run import Run, find_runs


def find_run(name: str, root: Path, key: str) -> Run:
    """Returns the run with a name.

    Args:
        name: a run's directory, its name below `root`, or its id.
        root: the folder of the runs.
        key: the setting that holds the name, for the message.

    Raises:
        ConfigError: no run or several runs have the name.
    """
    for directory in (Path(name).expanduser(), root / name):
        if (directory / "config.yaml").is_file():
            return Run(directory.resolve())  # the name of a link is not the run's name
    runs = find_runs(root)
    found = [run for run in runs if run.run_id == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(
            key, name, "is the id of several runs", allowed=", ".join(str(run.directory) for run in found)
        )
    names = [run.directory.name for run in runs]
    near = get_close_matches(Path(name).name, [*names, *(run.run_id for run in runs)], n=3, cutoff=0.5)
    allowed = ", ".join(near) or f"a run's directory, or an id of the {len(runs)} runs in {root.absolute()}"
    remedy = "paths.runs=… names another folder of runs; in Python load(…, runs=…)" if not near else ""
    raise ConfigError(key, name, "there is no such run", allowed=allowed, remedy=remedy)


def check_finished(run: Run, key: str) -> None:
    """Raises a ConfigError, with the number of finished epochs, unless a run is finished."""
    state = run.state()
    if state != "finished":
        status = run.status()
        epochs = f", after epoch {status.get('epoch', 0)} of {status['epochs']}" if "epochs" in status else ""
        remedy = "wait for it" if state == "running" else "type its command again: it goes on from where it is"
        raise ConfigError(key, run.directory.name, f"is not finished ({state}{epochs})", remedy=remedy)


def check_sweep_name(name: str | None) -> None:
    """Raises a ConfigError unless a name can be the name of a file and of a tag in MLflow."""
    if name is not None and not re.fullmatch(r"\w[\w. -]{0,99}", name):
        allowed = "up to 100 letters, digits, _ . - and blanks, a letter, a digit or _ first"
        raise ConfigError("sweep_name", name, "cannot be a sweep's name", allowed=allowed)


def runs_of_sweep(name: str, root: Path, key: str, asked: str | None = None) -> list[Run]:
    """Returns the existing runs of a sweep.

    Args:
        name: name of the sweep.
        root: the folder of the runs.
        key: the setting that holds the name, for the message.
        asked: its value, for the message; None for the sweep's name.

    Raises:
        ConfigError: the folder has no such sweep.
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
    """Returns the runs that a sweep's note lists, including those not started yet.

    Returns:
        Name of a run's directory → its overrides; None if the sweep has no note.
    """
    file = _note(name, root)
    if not file.is_file():
        return None
    runs: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))["runs"]
    return runs


def _note(name: str, root: Path) -> Path:
    return root / "sweeps" / f"{name}.json"
