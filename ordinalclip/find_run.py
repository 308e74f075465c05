"""A run by what people call it: its directory, the directory's name, or its id. Imports no torch."""

from difflib import get_close_matches
from pathlib import Path

from ordinalclip.errors import ConfigError
from ordinalclip.runs import Run, find_runs


def find_run(name: str, root: Path, key: str) -> Run:
    """The run that a name means.

    Args:
        name: a run's directory, its name below `root`, or its id.
        root: the folder of the runs.
        key: the setting that names it, for the message.

    Raises:
        ConfigError: there is no such run, or several.
    """
    for directory in (Path(name).expanduser(), root / name):
        if (directory / "config.yaml").is_file():
            return Run(directory.resolve())  # of a link, whose name is not the run's
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
    """Raises a ConfigError unless a run is finished, with how far it is."""
    state = run.state()
    if state != "finished":
        status = run.status()
        epochs = f", after epoch {status.get('epoch', 0)} of {status['epochs']}" if "epochs" in status else ""
        remedy = "wait for it" if state == "running" else "type its command again: it goes on from where it is"
        raise ConfigError(key, run.directory.name, f"is not finished ({state}{epochs})", remedy=remedy)
