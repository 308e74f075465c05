"""What the commands of this package have in common: words that choose runs and formats, and how they are read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from analysis.frame import find_directories, frame_of_directories, in_sweep, setting_columns
from analysis.groups import shown
from ordinalclip.config.compose import composed
from ordinalclip.config.signatures import did_you_mean
from ordinalclip.errors import ConfigError
from ordinalclip.runs.find import find_run

RUN_WORDS = ("runs", "store", "sweep")
RUN_USAGE = """\
  runs      a folder of runs (as paths.runs), or some runs' directories separated by commas
  store     an MLflow store in its place, such as sqlite:///runs/mlflow.db or http://host:5000
  sweep     only the runs of this sweep
  KEY=VALUE only runs with this setting, such as dataset=elpv prompt.num_base_ranks=3,5 or subset.shots=null"""
FORMAT_USAGE = """\
  format    terminal, md, csv, xlsx, latex; several separated by commas (terminal)
  out       a file without its suffix; without it all but xlsx is printed"""


def read_words(words: Sequence[str]) -> dict[str, str]:
    """Words of the form key=value.

    Raises:
        ConfigError: one is not, or a key stands there twice.
    """
    typed: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError(word, "", "is not of the form key=value", remedy="--help lists the keys")
        if key in typed:
            raise ConfigError(key, value, f"stands there twice, as {typed[key]} before")
        typed[key] = value
    return typed


def runs_root() -> Path:
    """The folder of the runs, as `paths.runs` says."""
    return Path(composed([])["paths"]["runs"])


# MERGED: """The runs that a command is about, from words of the form key=value."""


def choose_runs(typed: Mapping[str, str], filters: Mapping[str, str], root: Path) -> pd.DataFrame:
    """The table of the runs that were asked for.

    Args:
        typed: some of `RUN_WORDS` → value.
        filters: setting or group → values separated by commas.
        root: the folder of the runs where none is named.

    Raises:
        ConfigError: there are no such runs, sweeps or settings.
    """
    if "store" in typed:
        if "runs" in typed:
            raise ConfigError("store", typed["store"], "and runs= both name runs", allowed="one of the two")
        from analysis.frame import frame_of_store  # imports MLflow

        frame, where = frame_of_store(typed["store"]), typed["store"]
    else:
        where = typed.get("runs", str(root))
        frame = frame_of_directories(directories(where.split(","), root))
    if frame.empty:
        raise ConfigError("runs", where, "there are no runs here", remedy="runs=FOLDER or store=… says where they are")
    if "sweep" in typed:
        names = sorted({name for cell in frame["sweep"].dropna() for name in cell.split(",")})
        chosen = in_sweep(frame, typed["sweep"])
        if chosen.empty:
            raise ConfigError(
                "sweep",
                typed["sweep"],
                f"no run in {where} belongs to it",
                allowed=", ".join(names) or "there are no sweeps",
                remedy=did_you_mean(typed["sweep"], names),
            )
        frame = chosen
    for key, values in filters.items():
        frame = filtered(frame, key, values.split(","))
    return frame.reset_index(drop=True)


def directories(words: Sequence[str], root: Path) -> list[Path]:
    """Runs' directories: of folders all that are in them, of names and ids the runs below `root`.

    Raises:
        ConfigError: a word means nothing.
    """
    found: dict[Path, None] = {}
    for word in words:
        place = Path(word).expanduser()
        inside = find_directories(place) if place.is_dir() and not (place / "status.json").is_file() else []
        if inside or (place.is_dir() and place == root):
            found |= dict.fromkeys(inside)
        else:
            found[place.absolute() if (place / "status.json").is_file() else find_run(word, root, "runs").directory] = (
                None
            )
    return list(found)


def setting(frame: pd.DataFrame, key: str, said: str, value: str) -> str:
    """The column that a word means: a setting, or a group's name.

    Args:
        frame: of the runs.
        key: `prompt.name`, or `prompt`.
        said: the word that was typed, for the message.
        value: of that word.

    Raises:
        ConfigError: there is no such setting.
    """
    names = setting_columns(frame)
    for name in (key, f"{key}.name"):
        if name in names:
            return name
    groups = [name.removesuffix(".name") for name in names if name.endswith(".name")]
    remedy = did_you_mean(key, [*names, *groups])
    raise ConfigError(said, value, "no run has such a setting", allowed=", ".join(groups) + ", …", remedy=remedy)


def filtered(frame: pd.DataFrame, key: str, values: Sequence[str]) -> pd.DataFrame:
    """The runs whose setting has one of these values, as typed.

    Raises:
        ConfigError: none has, or there is no such setting.
    """
    name = setting(frame, key, key, ",".join(values))
    kept = frame[[any(_is(cell, value) for value in values) for cell in frame[name]]]
    if kept.empty:
        there = ", ".join(dict.fromkeys(shown(cell) for cell in frame[name]))
        raise ConfigError(key, ",".join(values), "no run has it", allowed=there)
    return kept


def _is(cell: object, value: str) -> bool:
    text = shown(cell)
    if text == value:
        return True
    try:
        return float(text) == float(value)
    except ValueError:
        return False
