"""Hydra's errors about what was typed, told as key, value, what is allowed."""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ordinalclip.conf_dir import conf_dir
from ordinalclip.errors import ConfigError
from ordinalclip.signatures import did_you_mean


def explain(error: BaseException, arguments: Sequence[str]) -> ConfigError | None:
    """Turns an error of Hydra's into ours.

    Args:
        error: what Hydra raised.
        arguments: the command line, where the value of a refused key is looked up.

    Returns:
        The error to show, or None where the error is not about what was typed.
    """
    if isinstance(error, MissingConfigException):
        return _missing_option(error, arguments)
    if isinstance(error, OverrideParseException):
        return ConfigError(*_split(error.override), f"cannot be read: {error.message.splitlines()[0]}", remedy=_QUOTING)
    if isinstance(error, ConfigCompositionException | HydraException | OmegaConfBaseException):
        return _refused_key(error, arguments)
    return None


_QUOTING = "quote the whole argument for the shell: 'key=value', or 'key=\"a value, with a comma\"'"


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key, value


def _given(key: str, arguments: Sequence[str]) -> str:
    values = [_split(argument)[1] for argument in arguments if _split(argument)[0].lstrip("+~") == key]
    return values[-1] if values else "…"


def _missing_option(error: MissingConfigException, arguments: Sequence[str]) -> ConfigError:
    option = str(error.missing_cfg_file or "").removesuffix(".yaml")
    group, _, name = option.rpartition("/")
    options = sorted({*(error.options or ()), *_options(group)})
    hint = did_you_mean(name, options)
    if not group:
        return ConfigError(option, "…", "there is no such configuration", remedy="see --help")
    return ConfigError(group, name, "there is no such option", allowed=", ".join(options) or "see --help", remedy=hint)


def _options(group: str) -> list[str]:
    return [path.stem for path in (conf_dir() / group).glob("*.yaml")] if group else []


def _refused_key(error: BaseException, arguments: Sequence[str]) -> ConfigError | None:
    messages = [str(error), str(error.__cause__ or "")]
    found = re.search(r"Could not (?:override|append to config) '?([\w./@]+)'?", messages[0])
    full = re.search(r"full_key: ([\w.\[\]]+)", "\n".join(messages))
    if found is None and full is None:
        first = next((line for line in messages[0].splitlines() if line.strip()), type(error).__name__)
        return ConfigError("command line", " ".join(arguments), first.strip())
    key = found.group(1) if found is not None else full.group(1)  # type: ignore[union-attr]
    parent, _, leaf = key.rpartition(".")
    allowed = _keys_below(parent)
    if leaf in allowed:
        reason = next((line for line in messages[1].splitlines() if line.strip()), messages[0].splitlines()[0])
        return ConfigError(key, _given(key, arguments), reason.strip().rstrip("."))
    hint = did_you_mean(leaf, allowed)
    given = _given(key, arguments)
    return ConfigError(key, given, "there is no such key", allowed=", ".join(allowed) or "see --help", remedy=hint)


def _keys_below(parent: str) -> list[str]:
    """Keys that the default configuration has at a place, and at the top the groups."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(Path(conf_dir()).absolute()), version_base="1.3"):
            node: object = compose("train")
    except HydraException:
        return []
    for part in filter(None, parent.split(".")):
        node = node.get(part) if isinstance(node, DictConfig) else None
    return sorted(str(key) for key in node) if isinstance(node, DictConfig) else []
