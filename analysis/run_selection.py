"""Selection of runs by the words of a command line, which all commands of this package share.

pandas and the table of runs are imported by the functions that need them, so that `--help` is fast.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from ordinalclip.config.compose import compose_config, conf_dir, config_dirs, unquoted
from ordinalclip.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

RUN_WORDS = ("runs", "store", "sweep")
RUN_USAGE = """\
  runs      a folder of runs (or paths.runs=FOLDER), or some runs' directories separated by commas
  store     an MLflow store instead, such as sqlite:///runs/mlflow.db or http://host:5000
  sweep     only the runs of this sweep
  KEY=VALUE only runs with this setting, such as dataset=elpv prompt.num_base_ranks=3,5 or subset.shots=null"""
FORMAT_USAGE = """\
  format    terminal, md, csv, xlsx, latex; several separated by commas (terminal)
  out       a file without its suffix; without it all but xlsx is printed"""


def read_words(words: Sequence[str]) -> dict[str, str]:
    """Parses words of the form key=value.

    Raises:
        ConfigError: if a word has another form, or a key is repeated, such as `runs` and `paths.runs`.
    """
    typed: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError(word, "", "is not of the form key=value", remedy="--help lists the keys")
        if key in typed:
            raise ConfigError(key, value, f"is given twice, as {typed[key]} before")
        typed[key] = value
    if "runs" in typed and "paths.runs" in typed:
        raise ConfigError("runs", typed["runs"], "and paths.runs= both name runs", allowed="one of the two")
    if "paths.runs" in typed:
        typed["runs"] = typed.pop("paths.runs")
    return typed


def runs_root() -> Path:
    """The folder of the runs, by `paths.runs`."""
    return Path(compose_config([])["paths"]["runs"])


def select_runs(typed: Mapping[str, str], root: Path, own_words: Sequence[str] = ()) -> "pd.DataFrame":
    """Returns the table of the selected runs.

    Args:
        typed: key → value of a command line. `RUN_WORDS` select runs; other keys are settings that the runs must have,
            with values separated by commas.
        root: the folder of the runs, unless `runs` or `store` is typed.
        own_words: keys of the command itself, which are ignored here.

    Raises:
        ConfigError: if there are no such runs, sweeps or settings.
    """
    from analysis.frame import frame_of_directories, frame_of_store, runs_in_sweep

    if "store" in typed:
        if "runs" in typed:
            raise ConfigError("store", typed["store"], "and runs= both name runs", allowed="one of the two")
        frame, where = frame_of_store(typed["store"]), typed["store"]
    else:
        where = typed.get("runs", str(root))
        frame = frame_of_directories(find_runs_named(_places(where), root))
    if frame.empty:
        raise ConfigError("runs", where, "there are no runs here", remedy="runs=FOLDER or store=… says where they are")
    if "sweep" in typed:
        names = sorted({name for cell in frame["sweep"].dropna() for name in cell.split(",")})
        frame = runs_in_sweep(frame, typed["sweep"])
        if frame.empty:
            raise ConfigError(
                "sweep",
                typed["sweep"],
                f"no run in {where} belongs to it",
                allowed=", ".join(names) or "there are no sweeps",
                remedy=did_you_mean(typed["sweep"], names),
            )
    for key, values in typed.items():
        if key not in (*RUN_WORDS, *own_words):
            frame = filter_runs(frame, key, values.split(","))
    return frame.reset_index(drop=True)


def _places(typed: str) -> list[str]:
    """Splits `runs` at commas, unless the whole text is a folder."""
    text = unquoted(typed)
    return [text] if Path(text).expanduser().is_dir() else typed.split(",")


def find_runs_named(words: Sequence[str], root: Path) -> list[Path]:
    """Returns the directories of runs given by folder (all runs in it), by directory, or by name or id below `root`.

    Raises:
        ConfigError: if a word matches no run.
    """
    from analysis.frame import find_directories
    from ordinalclip.runs.find import find_run

    found: dict[Path, None] = {}
    for word in words:
        place = Path(word).expanduser()
        is_run = (place / "status.json").is_file()
        inside = find_directories(place) if place.is_dir() and not is_run else []
        if inside or (place.is_dir() and place == root):
            found |= dict.fromkeys(inside)
        else:
            found[place.absolute() if is_run else find_run(word, root, "runs").directory] = None
    return list(found)


def find_setting(frame: "pd.DataFrame", key: str, word: str, value: str) -> str:
    """Returns the column of a setting, given in full (`prompt.name`) or by its group (`prompt`, `loss`).

    Args:
        frame: table of runs.
        key: the setting.
        word: the key that was typed, for the message.
        value: of that word.

    Raises:
        ConfigError: if there is no such setting.
    """
    from analysis.frame import setting_columns

    names = setting_columns(frame)
    for name in (key, f"{key}.name", f"{key}._target_"):
        if name in names:
            return name
    groups = [name.removesuffix(".name") for name in names if name.endswith(".name")]
    remedy = did_you_mean(key, [*names, *groups])
    raise ConfigError(word, value, "no run has such a setting", allowed=", ".join(groups) + ", …", remedy=remedy)


def filter_runs(frame: "pd.DataFrame", key: str, values: Sequence[str]) -> "pd.DataFrame":
    """Returns the runs whose setting has one of these values.

    Raises:
        ConfigError: if there is no such run or setting.
    """
    from analysis.groups import format_setting

    name = find_setting(frame, key, key, ",".join(values))
    cells = [format_setting(cell) for cell in frame[name]]
    if name == f"{key}._target_":
        values = [_target_of(key, value, cells) for value in values]
    kept = frame[[any(_is_equal(cell, value) for value in values) for cell in cells]]
    if kept.empty:
        raise ConfigError(key, ",".join(values), "no run has it", allowed=", ".join(dict.fromkeys(cells)))
    return kept


def _target_of(group: str, value: str, targets: Sequence[str]) -> str:
    """The `_target_` that a class name, or an option of the group that alone has it, stands for."""
    for target in targets:
        if target.rpartition(".")[2] == value:
            return target
    files = [path for folder in (conf_dir(), *config_dirs()) for path in (folder / group).glob("*.yaml")]
    options = {path.stem: (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("_target_") for path in files}
    chosen = options.get(value)
    return str(chosen) if chosen is not None and [*options.values()].count(chosen) == 1 else value


def _is_equal(cell: str, value: str) -> bool:
    if cell == value:
        return True
    try:
        return float(cell) == float(value)
    except ValueError:
        return False
