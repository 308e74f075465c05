"""A command that takes words of the form key=value: its help, its end, and the settings of training that it knows."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from hydra import compose, initialize_config_dir

from ordinalclip.conf_dir import conf_dir
from ordinalclip.config import plain
from ordinalclip.terminal import log_to_terminal, tell


def run_command(work: Callable[[list[str]], object], usage: str, *, needs_words: bool = True) -> None:
    """Runs a command on what was typed; ends with 0, with 2 on a mistake of the user's, with 1 on anything else.

    Args:
        work: called with the words.
        usage: what is printed where help is asked for, or nothing was typed.
        needs_words: False where nothing typed means something.
    """
    words = sys.argv[1:]
    if (needs_words and not words) or {"-h", "--help"} & set(words):
        print(usage)
        return
    log_to_terminal()
    try:
        work(words)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.exit(tell(error, words))


def composed(overrides: Sequence[str]) -> dict[str, Any]:
    """The configuration of training with these overrides, as plain dicts and lists."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return plain(compose("train", list(overrides)))
