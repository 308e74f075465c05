"""A command that takes words of the form key=value: its help, its end, and the settings of training that it knows."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ordinalclip.conf_dir import conf_dir
from ordinalclip.config import plain
from ordinalclip.errors import ConfigError
from ordinalclip.signatures import did_you_mean
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
        sys.stdout.flush()
    except BrokenPipeError:  # `… | head`; Python would complain once more when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.exit(tell(error, words))


def read_words(words: Sequence[str], allowed: Sequence[str], needed: Mapping[str, str]) -> dict[str, str]:
    """Key → value of what was typed; of a key that is typed twice the last counts.

    Args:
        words: of the form key=value.
        allowed: the keys that there are.
        needed: those without which there is nothing to do, and what their values may be.

    Raises:
        ConfigError: for another key, or where a needed one is missing.
    """
    typed = dict(word.partition("=")[::2] for word in words)
    for key, value in typed.items():
        if key not in allowed:
            hint = did_you_mean(key, allowed)
            raise ConfigError(key, value, "there is no such key", allowed=", ".join(allowed), remedy=hint)
    for key, may_be in needed.items():
        if not typed.get(key):
            raise ConfigError(key, "", f"which {key}?", allowed=may_be)
    return typed


def read_flag(typed: Mapping[str, str], key: str, default: bool) -> bool:
    """Whether `key=true` was typed.

    Raises:
        ConfigError: something else than true or false was.
    """
    word = typed.get(key, str(default)).lower()
    if word not in ("true", "false"):
        raise ConfigError(key, word, "is neither true nor false", allowed="true, false")
    return word == "true"


def composed(overrides: Sequence[str], values: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The configuration of training with these overrides, as plain dicts and lists.

    A program that is itself Hydra's may ask for it: what it initialised is as it was afterwards.

    Args:
        overrides: in Hydra's grammar.
        values: key → text that is taken as it stands, such as a path with spaces and commas.

    Raises:
        ConfigError: there is no such key among the values.
    """
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().hydra = None
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = compose("train", list(overrides))
    finally:
        GlobalHydra.instance().hydra = outer
    for key, text in (values or {}).items():
        try:
            OmegaConf.update(cfg, key, text)
        except OmegaConfBaseException:
            raise ConfigError(
                key, text, f"there is no such key{' with ' if overrides else ''}{' '.join(overrides)}"
            ) from None
    return plain(cfg)


def settings_here(typed: Mapping[str, str]) -> dict[str, Any]:
    """The configuration of training, for its paths and its store, with the folder of runs that was typed."""
    return composed([], {key: word for key, word in typed.items() if key == "paths.runs"})
