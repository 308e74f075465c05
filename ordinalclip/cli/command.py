"""Commands that take words of the form key=value: running one, reading its words, and reporting its error.

`explain_hydra_error` turns Hydra's errors about typed words into ConfigErrors with key, value and allowed values.
`report_error` prints any error as one message and returns the exit status.
"""

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml
from hydra import compose
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ordinalclip.config.compose import compose_api, conf_dir, rename_runs, using_config_dirs
from ordinalclip.errors import Busy, ConfigError, DataError, Superseded, SweepFailed, did_you_mean

_QUOTING = "write key=value, and put quotes round what the shell or Hydra would take apart: 'key=\"a value, a comma\"'"

_COMPLETE = (ConfigError, DataError, Busy, Superseded, SweepFailed, FloatingPointError)  # printed without class name


def run_command(work: Callable[[list[str]], object], usage: str, *, needs_words: bool = True) -> None:
    """Runs a command on the words of the command line. Exits with 2 on a mistake of the user, with 1 on other errors.

    Args:
        work: called with the words.
        usage: printed for `--help`, or if there are no words.
        needs_words: False if the command runs without words.
    """
    words = sys.argv[1:]
    if (needs_words and not words) or {"-h", "--help"} & set(words):
        print(usage)
        return
    log_to_terminal()
    folders: list[Path] = []
    try:
        words, folders = take_config_dirs(words)
        with using_config_dirs(folders):
            work(words)
        sys.stdout.flush()
    except BrokenPipeError:  # as in `… | head`; without this, Python reports it again when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.exit(report_error(error, words, folders))


def take_config_dirs(words: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Returns the words without `--config-dir FOLDER`, and its folder.

    Raises:
        ConfigError: the folder is missing.
    """
    rest, folders = [], []
    remaining = iter(words)
    for word in remaining:
        flag, equals, folder = word.partition("=")
        if flag not in ("--config-dir", "-cd"):
            rest.append(word)
            continue
        folder = folder if equals else next(remaining, "")
        if not folder:
            raise ConfigError("--config-dir", "", "needs a folder", allowed="--config-dir FOLDER")
        folders.append(Path(folder))
    return rest, folders


def read_words(words: Sequence[str], allowed: Sequence[str], needed: Mapping[str, str]) -> dict[str, str]:
    """Parses words to key → value. Of a repeated key the last value counts.

    Args:
        words: words of the form key=value.
        allowed: known keys; with `paths.runs`, `runs` is read as well.
        needed: required keys, each with a description of its values for the message.

    Raises:
        ConfigError: a key is unknown or a required one is missing.
    """
    typed = dict(word.partition("=")[::2] for word in (rename_runs(words) if "paths.runs" in allowed else words))
    for key, value in typed.items():
        if key not in allowed:
            hint = did_you_mean(key, allowed)
            raise ConfigError(key, value, "there is no such key", allowed=", ".join(allowed), remedy=hint)
    for key, may_be in needed.items():
        if not typed.get(key):
            raise ConfigError(key, "", f"which {key}?", allowed=may_be)
    return typed


def read_flag(typed: Mapping[str, str], key: str, default: bool) -> bool:
    """Parses a key as true or false.

    Raises:
        ConfigError: the value is neither.
    """
    word = typed.get(key, str(default)).lower()
    if word not in ("true", "false"):
        raise ConfigError(key, word, "is neither true nor false", allowed="true, false")
    return word == "true"


def log_to_terminal() -> None:
    """Logs to stderr: everything of this project, and warnings of other libraries."""
    terminal = logging.StreamHandler(sys.stderr)
    terminal.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith("ordinalclip"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[terminal])
    logging.raiseExceptions = False  # for example on a closed pipe
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="hydra.*")


def report_error(error: Exception, overrides: Sequence[str], config_dirs: Sequence[Path] = ()) -> int:
    """Prints an error as one message on stderr.

    Args:
        error: the error that ended the command.
        overrides: the typed words.
        config_dirs: folders of `--config-dir`.

    Returns:
        The exit status: 2 for a mistake of the user, 1 for other errors.
    """
    mistake = explain_hydra_error(error, overrides, config_dirs)
    if mistake is not None or isinstance(error, _COMPLETE):
        message, notes = str(mistake or error), getattr(error, "__notes__", [])
    else:
        message = f"{type(error).__name__}: {error}"
        notes = getattr(error, "__notes__", ["HYDRA_FULL_ERROR=1 shows the traceback"])
    notes = [*notes, *_set_by_experiment(error, overrides)]
    print("\n".join([f"error: {message}", *(f"  {note}" for note in notes)]), file=sys.stderr)
    return 2 if mistake is not None or isinstance(error, ConfigError | DataError) else 1


def _set_by_experiment(error: Exception, overrides: Sequence[str]) -> list[str]:
    """Returns a note if the refused key was not typed but set by an experiment for another option of its group."""
    typed = dict(word.lstrip("+~").partition("=")[::2] for word in overrides)
    if not isinstance(error, ConfigError) or "experiment" not in typed or error.key in typed:
        return []
    group = error.key.partition(".")[0]
    if "." not in error.key or group not in typed:
        return []
    where = f"experiment={typed['experiment']} sets it for a {group} of its own"
    return [f"{where}; add ~{error.key} to go without it under {group}={typed[group]}"]


def explain_hydra_error(
    error: BaseException, overrides: Sequence[str], config_dirs: Sequence[Path] = ()
) -> ValueError | None:
    """Turns an error of Hydra into a ConfigError with key, value and allowed values.

    Args:
        error: the error that Hydra raised.
        overrides: the typed words, in which the refused value and the chosen options are looked up.
        config_dirs: folders of `--config-dir`.

    Returns:
        The error to print, or None if the error is not about the typed words.
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


def _unreadable(error: OverrideParseException) -> ConfigError:
    key, value = _split(error.override)
    if "=" not in error.override:
        return ConfigError(key, "", "needs a value", allowed=f"{key}=…")
    # Hydra's own message lists tokens of its grammar.
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
    """Returns the configuration with the typed options, or without them if one of them is wrong."""
    options = [override for override in overrides if re.fullmatch(r"\w+=[\w-]+", override)]
    for chosen in (options, []):
        try:
            with compose_api(config_dirs):
                return compose("train", chosen)
        except HydraException:
            continue
    return DictConfig({})


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key, value


def _given(key: str, overrides: Sequence[str]) -> str:
    values = [_split(override)[1] for override in overrides if _split(override)[0].lstrip("+~") == key]
    return values[-1] if values else "…"


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "").rstrip(".")
