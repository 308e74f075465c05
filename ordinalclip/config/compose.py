"""The configuration of training, composed with Hydra and resolved to plain dicts and lists.

The yaml files are at the top of a checkout, where users edit them, or inside an installed package (`conf_dir`). Hydra
is imported when a configuration is composed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ordinalclip.config.moved_names import current_names
from ordinalclip.errors import ConfigError
from ordinalclip.system import PACKAGE

if TYPE_CHECKING:  # `--help` reads the configuration without Hydra
    from omegaconf import DictConfig

_MAIN = "train.yaml"


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


def compose_config(overrides: Sequence[str], values: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Composes the configuration of training, as plain dicts and lists. Hydra's global state is left unchanged.

    Args:
        overrides: in Hydra's grammar.
        values: key → text that is taken literally, such as a path with spaces and commas.

    Raises:
        ConfigError: a key of `values` does not exist.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

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
