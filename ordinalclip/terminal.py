"""What a command says on the terminal: its log, and what ended it."""

import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from launch.sweep import SweepFailed
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.explain import explain
from ordinalclip.lease import Busy, Superseded

_COMPLETE = (
    ConfigError,
    DataError,
    Busy,
    Superseded,
    SweepFailed,
    FloatingPointError,
)  # their messages need no class before them


def log_to_terminal() -> None:
    """Sends our own log, and the warnings of others, to stderr."""
    terminal = logging.StreamHandler(sys.stderr)
    terminal.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith("ordinalclip"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[terminal])
    logging.raiseExceptions = False  # on a closed pipe, say
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="hydra.*")


def tell(error: Exception, overrides: Sequence[str], config_dirs: Sequence[Path] = ()) -> int:
    """Prints what went wrong in the words of who can mend it.

    Args:
        error: what ended the command.
        overrides: what was typed.
        config_dirs: the user's own folders with options.

    Returns:
        The exit status: 2 for a mistake of the user's, 1 for anything else.
    """
    mistake = explain(error, overrides, config_dirs)
    if mistake is not None or isinstance(error, _COMPLETE):
        message, notes = str(mistake or error), getattr(error, "__notes__", [])
    else:
        message = f"{type(error).__name__}: {error}"
        notes = getattr(error, "__notes__", ["HYDRA_FULL_ERROR=1 shows the traceback"])
    notes = [*notes, *_set_by_experiment(error, overrides)]
    print("\n".join([f"error: {message}", *(f"  {note}" for note in notes)]), file=sys.stderr)
    return 2 if mistake is not None or isinstance(error, ConfigError | DataError) else 1


def _set_by_experiment(error: Exception, overrides: Sequence[str]) -> list[str]:
    """Where a refused key comes from that nobody typed: an experiment set it for another option of its group."""
    typed = dict(word.lstrip("+~").partition("=")[::2] for word in overrides)
    if not isinstance(error, ConfigError) or "experiment" not in typed or error.key in typed:
        return []
    group = error.key.partition(".")[0]
    if "." not in error.key or group not in typed:
        return []
    where = f"experiment={typed['experiment']} sets it for a {group} of its own"
    return [f"{where}; add ~{error.key} to go without it under {group}={typed[group]}"]
