"""Hydra's errors about what was typed, told as key, value, what is allowed."""

import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ordinalclip.conf_dir import conf_dir
from ordinalclip.errors import ConfigError
from ordinalclip.signatures import did_you_mean

_QUOTING = "write key=value, and put quotes round what the shell or Hydra would take apart: 'key=\"a value, a comma\"'"


def explain(error: BaseException, overrides: Sequence[str], config_dirs: Sequence[Path] = ()) -> ValueError | None:
    """Turns an error of Hydra's into ours.

    Args:
        error: what Hydra raised.
        overrides: what was typed, where the value of a refused key and the chosen options are looked up.
        config_dirs: further folders with options, from `--config-dir`.

    Returns:
        The error to show, or None where the error is not about what was typed.
    """
    if isinstance(error, MissingConfigException):
        return _missing_option(error, config_dirs)
    if isinstance(error, OverrideParseException):
        return _unreadable(error)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return ValueError(f"{error.problem_mark.name}, line {error.problem_mark.line + 1}: {error.problem}")
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _refused(error, overrides, config_dirs)
    return None


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key, value


def _given(key: str, overrides: Sequence[str]) -> str:
    values = [_split(override)[1] for override in overrides if _split(override)[0].lstrip("+~") == key]
    return values[-1] if values else "…"


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "").rstrip(".")


def _unreadable(error: OverrideParseException) -> ConfigError:
    key, value = _split(error.override)
    if "=" not in error.override:
        return ConfigError(key, "", "needs a value", allowed=f"{key}=…")
    # The parser's own words are about tokens and alternatives.
    return ConfigError(key, value, "cannot be read: a quote, bracket or blank too few or too many", remedy=_QUOTING)


def _missing_option(error: MissingConfigException, config_dirs: Sequence[Path]) -> ConfigError:
    option = str(error.missing_cfg_file or "").removesuffix(".yaml")
    group, _, name = option.rpartition("/")
    if not group:
        return ConfigError("--config-name", option, "there is no such configuration", allowed="train")
    options = sorted({*(error.options or ()), *_options(group, config_dirs)})
    asker = re.match(r"In '([^']+)'", str(error))
    asked = f", which {asker.group(1)}.yaml asks for" if asker is not None and "/" in asker.group(1) else ""
    allowed = ", ".join(options) or f"no option yet; yours would be {group}/{name}.yaml in conf or --config-dir"
    return ConfigError(
        group, name, f"there is no such option{asked}", allowed=allowed, remedy=did_you_mean(name, options)
    )


def _options(group: str, config_dirs: Sequence[Path]) -> list[str]:
    return [path.stem for folder in (conf_dir(), *config_dirs) for path in (folder / group).glob("*.yaml")]


def _refused(error: BaseException, overrides: Sequence[str], config_dirs: Sequence[Path]) -> ValueError:
    message, cause = str(error), str(error.__cause__ or "")
    if (folder := re.match(r"Additional config directory '(.*)' not found", message)) is not None:
        return ConfigError("--config-dir", folder.group(1), "there is no such folder")
    if (ambiguous := re.match(r"Ambiguous value for argument '(.*)'", message)) is not None:
        key, value = _split(ambiguous.group(1))
        remedy = f"-m makes a run of each; a list is {key}=[{value}], a text '{key}=\"{value}\"'"
        return ConfigError(key, value, "are several values", remedy=remedy)
    found = re.match(r"Could not \w+ (?:to |from )?(?:config\. )?(?:An item is already at )?'([\w./@]+)'", message)
    found = found or re.search(r"full_key: ([\w.]+)", f"{message}\n{cause}")
    if found is None and "nterpolation" in message:
        found = next((match for match in (re.match(r"[+]*([\w./@]+)=.*\$\{", one) for one in overrides) if match), None)
    if found is None:
        return ValueError(_first_line(message) or type(error).__name__)
    key = found.group(1)
    given = _given(key, overrides)
    if "already at" in message:
        return ConfigError(key, given, "is there already", remedy=f"without the +: {key}={given}")
    node, parts = _composed(overrides, config_dirs), key.split(".")
    for depth, part in enumerate(parts, start=1):
        keys = sorted(str(word) for word in node if str(word) != "_target_")
        if part not in keys:
            groups = [name for name in keys if isinstance(node[name], DictConfig) and part in node[name]]
            hint = did_you_mean(part, keys)
            if depth == 1 and groups:
                hint = f"did you mean {' or '.join(f'{group}.{part}' for group in groups)}?"
            return ConfigError(key, given, "there is no such key", allowed=", ".join(keys) or "see --help", remedy=hint)
        if depth == len(parts):
            break
        below, place = node.get(part), ".".join(parts[:depth])
        if not isinstance(below, DictConfig):
            problem = f"{place} is {'null' if below is None else below} and has no keys"
            return ConfigError(key, given, problem, allowed=f"{place}=… as a whole, as its yaml has it")
        node = below
    return ConfigError(key, given, _first_line(cause) or _first_line(message))


def _composed(overrides: Sequence[str], config_dirs: Sequence[Path]) -> DictConfig:
    """The configuration with the options that were typed, or without them where one of them is the mistake."""
    folders = ",".join("'file://" + str(folder.absolute()).replace("'", r"\'") + "'" for folder in config_dirs)
    options = [override for override in overrides if re.fullmatch(r"\w+=[\w-]+", override)]
    for chosen in (options, []):
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(conf_dir()), version_base="1.3"):
                return compose("train", [f"hydra.searchpath=[{folders}]", *chosen])
        except HydraException:
            continue
    return DictConfig({})
