"""From the words of a command line to the jobs of its sweep, as `ordinalclip.train -m` would take them apart."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from launch.compose import Composer
from launch.sweep import typed_axes
from ordinalclip.arguments import read_arguments
from ordinalclip.errors import ConfigError
from ordinalclip.explain import explain


@dataclass(frozen=True)
class Typed:
    """A sweep as it was typed.

    Attributes:
        product: overrides of each job, without Hydra's own.
        overrides: what was typed of the form key=value.
        config_dirs: the user's own folders with options.
        compose: overrides of one job → its configuration.
        whole: the configuration with Hydra's own node, several values of a key left out.
        launcher: settings of `hydra/launcher`.
        note: what to tell before anything else; "" where there is nothing to tell.
    """

    product: list[list[str]]
    overrides: list[str]
    config_dirs: list[Path]
    compose: Composer
    whole: DictConfig
    launcher: dict[str, Any]
    note: str = ""


def read_sweep(words: Sequence[str], program: str, more: Sequence[str] = (), compose: Composer | None = None) -> Typed:
    """Reads what was typed for a sweep; one run is a sweep of one.

    Args:
        words: behind the program's name; `-m` may be among them.
        program: its name, for messages.
        more: overrides that the program adds where nothing of that group is typed.
        compose: one made before, of the same folders; None makes one.

    Raises:
        ConfigError: for what cannot be read or composed.
    """
    arguments = read_arguments(words, program)
    if arguments.for_hydra_alone:
        remedy = f"python -m ordinalclip.train {' '.join([*more, *words])}"
        problem = "is a flag of python -m ordinalclip.train alone"
        raise ConfigError(arguments.for_hydra_alone, "", problem, allowed="-m, --config-dir", remedy=remedy)
    typed = {re.split(r"[.@=]", override.lstrip("+~"))[0] for override in arguments.overrides}
    overrides = [*(word for word in more if word.partition("=")[0] not in typed), *arguments.overrides]
    try:
        compose = Composer(arguments.config_dirs) if compose is None else compose
        whole = compose.whole(overrides)
        axes = typed_axes(_plain(whole.hydra.sweeper).get("params") or {})
        given = [override for override in compose.parse([*axes, *overrides]) if not override.is_hydra_override()]
        product = BasicSweeper.split_arguments(given, None)[0]
    except (HydraException, ValueError) as error:
        raise explain(error, overrides, arguments.config_dirs) or error from None
    if not product:
        raise ConfigError("-m", " ".join(overrides), "no option of the group fits")
    launcher = launcher_of(whole)
    return Typed(product, arguments.overrides, arguments.config_dirs, compose, whole, launcher, arguments.note)


def launcher_of(whole: DictConfig) -> dict[str, Any]:
    """The settings of `hydra/launcher` in a configuration with Hydra's own node."""
    return {key: value for key, value in _plain(whole.hydra.launcher).items() if key != "_target_"}


def _plain(node: DictConfig) -> dict[str, Any]:
    content = OmegaConf.to_container(node, resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}
