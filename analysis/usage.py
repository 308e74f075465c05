"""What the commands of this package have in common: words that choose runs and formats, and how they are read."""

from collections.abc import Sequence
from pathlib import Path

from ordinalclip.command import composed
from ordinalclip.errors import ConfigError

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
