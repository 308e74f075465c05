"""The configuration of training, composed with Hydra and resolved to plain dicts and lists.

The yaml files are at the top of a checkout, where users edit them, or inside an installed package (`conf_dir`). The
folders of `--config-dir` add options for a whole command (`using_config_dirs`). Hydra is imported when a configuration
is composed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ordinalclip.config.moved_names import current_names
from ordinalclip.errors import ConfigError
from ordinalclip.system import PACKAGE

if TYPE_CHECKING:  # `--help` reads the configuration without Hydra
    from omegaconf import DictConfig

_MAIN = "train.yaml"
_CONFIG_DIRS: list[Path] = []  # of --config-dir, for the command that runs in this process
_NO_TEXT = ("null", "true", "false", "nan", "inf")  # words that Hydra reads as values of another type


def conf_dir(package: Path = PACKAGE) -> Path:
    """Returns the folder with `train.yaml` and the config groups.

    Args:
        package: the folder of this package.

    Raises:
        FileNotFoundError: the package was copied without its configuration.
    """
    candidates = (package / "conf", package.parent / "conf")
    for folder in candidates:
        if (folder / _MAIN).is_file():
            return folder
    looked = " and ".join(str(folder / _MAIN) for folder in candidates)
    raise FileNotFoundError(
        f"there is no configuration: looked for {looked}. "
        "Run from a checkout (git clone, make setup) or install a wheel of this project, which carries it."
    )


def config_dirs() -> list[Path]:
    """Returns the folders of `--config-dir`, whose options take precedence."""
    return list(_CONFIG_DIRS)


@contextmanager
def using_config_dirs(folders: Sequence[Path]) -> Iterator[None]:
    """Adds the options in these folders to every configuration that is composed inside the context.

    Raises:
        ConfigError: a folder does not exist.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError("--config-dir", folder, "there is no such folder")
    before = config_dirs()
    _CONFIG_DIRS[:] = folders
    try:
        yield
    finally:
        _CONFIG_DIRS[:] = before


@contextmanager
def compose_api(folders: Sequence[Path] = ()) -> Iterator[None]:
    """Makes `hydra.compose` read the configuration with the options in `folders` and those of `--config-dir`.

    Hydra's global state is restored at the end.
    """
    from hydra import version
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.global_hydra import GlobalHydra

    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().hydra = None
    path = create_config_search_path(str(conf_dir()))
    for folder in dict.fromkeys([*config_dirs(), *folders]):
        path.prepend("command-line", f"file://{folder.absolute()}")
    try:
        version.setbase("1.3")
        Hydra.create_main_hydra2("ordinalclip", path)
        yield
    finally:
        GlobalHydra.instance().hydra = outer


def name_runs(words: Sequence[str]) -> list[str]:
    """Writes `runs=FOLDER` and `paths.runs=FOLDER` as `paths.runs=…` in Hydra's grammar, the folder taken literally.

    Text in quotes, with backslashes or with `${…}` is left to Hydra, as other values are.

    Raises:
        ConfigError: both keys are typed.
    """
    return [_quote_runs(word) for word in rename_runs(words)]


def rename_runs(words: Sequence[str]) -> list[str]:
    """Writes `runs=…` as `paths.runs=…`.

    Raises:
        ConfigError: both keys are typed.
    """
    typed = dict(word.partition("=")[::2] for word in words if "=" in word)
    if typed.keys() >= {"runs", "paths.runs"}:
        raise ConfigError("runs", typed["runs"], "and paths.runs= name the same folder", allowed="one of the two")
    return [f"paths.{word}" if word.startswith("runs=") else word for word in words]


def _quote_runs(word: str) -> str:
    key, equals, text = word.partition("=")
    if not equals or key != "paths.runs":
        return word
    is_word = re.fullmatch(r"[\w./-]+", text, re.ASCII) and ("/" in text or text[0].isalpha())
    if text == "" or (is_word and text.lower() not in _NO_TEXT) or _is_quoted(text) or "\\" in text or "${" in text:
        return f"paths.runs={text}"
    return "paths.runs='{}'".format(text.replace("'", r"\'"))


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] and text[0] in "'\""


def unquoted(text: str) -> str:
    """Returns a typed path without the quotes around it that Hydra's grammar allows."""
    return text[1:-1] if _is_quoted(text) else text


def compose_config(overrides: Sequence[str], values: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Composes the configuration of training, as plain dicts and lists. Hydra's global state is left unchanged.

    Args:
        overrides: in Hydra's grammar.
        values: key → text that is taken literally, such as a path with spaces and commas.

    Raises:
        ConfigError: a key of `values` does not exist.
    """
    from hydra import compose
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    with compose_api():
        cfg = compose("train", name_runs(overrides))
    for key, text in (values or {}).items():
        try:
            OmegaConf.update(cfg, key, unquoted(text) if key == "paths.runs" else text)
        except OmegaConfBaseException:
            raise ConfigError(
                key, text, f"there is no such key{' with ' if overrides else ''}{' '.join(overrides)}"
            ) from None
    return plain_config(cfg)


def compose_defaults(typed: Mapping[str, str]) -> dict[str, Any]:
    """Composes the default configuration, for its paths and store, with the typed `paths.runs`."""
    return compose_config([], {key: word for key, word in typed.items() if key == "paths.runs"})


def plain_config(cfg: "DictConfig | Mapping[str, Any]") -> dict[str, Any]:
    """Resolves a configuration to plain dicts and lists, with the current name of each `_target_` that was moved.

    Raises:
        ConfigError: an interpolation cannot be resolved or a value is missing.
    """
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not isinstance(cfg, DictConfig):
        return dict(cfg)
    try:
        container = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(error.full_key or "config", "…", str(error).splitlines()[0]) from error
    assert isinstance(container, dict)
    return {str(key): current_names(value) for key, value in container.items() if key != "hydra"}
