"""The command line of training: words sorted before Hydra sees them, and the text of `--help`.

Config groups and their options are read from the yaml files, so `--help` needs neither Hydra nor torch.
"""

import shutil
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from ordinalclip.config.compose import conf_dir, config_dirs, name_runs
from ordinalclip.errors import did_you_mean

_FOR_HYDRA_ALONE = (
    "cfg",
    "info",
    "resolve",
    "package",
    "run",
    "hydra_help",
    "shell_completion",
    "config_path",
    "config_name",
    "experimental_rerun",
)

_USAGE = """\
OrdinalCLIP trains, tests and records one run, or with -m a sweep of them.

  python -m ordinalclip.train [GROUP=OPTION …] [KEY=VALUE …] [-m]
                              [--cfg job] [--config-dir FOLDER] [--version]
"""
_EXAMPLES = """\
Examples
  # the options marked *
  python -m ordinalclip.train
  # another prompt, another seed
  python -m ordinalclip.train prompt=context seed=1
  # six runs; typed again, only what is missing
  python -m ordinalclip.train -m prompt=rank,linear seed=0,1,2
  # your own images
  python -m ordinalclip.train dataset=manifest dataset.path=my.csv
  # every key with its value; nothing is run
  python -m ordinalclip.train --cfg job
  # options of your own, here in my/conf/prompt/mine.yaml
  python -m ordinalclip.train --config-dir my/conf prompt=mine"""
_HEADING = "Groups and their options (* is taken where nothing is said)"
_NOT_SHOWN = ("hydra", "local")
_LOCAL = "Settings of this machine are taken from conf/local/default.yaml, outside git, where there are any."
_MIN_WIDTH, _MAX_WIDTH = 60, 140


@dataclass(frozen=True)
class Arguments:
    """The command line of training.

    Attributes:
        for_hydra: all words, flags last, since Hydra refuses overrides on both sides of `-m`.
        overrides: words of the form key=value.
        config_dirs: folders of `--config-dir`.
        help: whether `--help` was typed.
        for_hydra_alone: the first flag that only Hydra handles, such as `--cfg`; "" if there is none.
        note: a message to print first; "" if there is none.
    """

    for_hydra: list[str]
    overrides: list[str]
    config_dirs: list[Path]
    help: bool
    for_hydra_alone: str = ""
    note: str = ""

    def varied(self, overrides: Sequence[str]) -> list[str]:
        """Returns the overrides of a job that vary within its sweep."""
        return [override for override in overrides if override not in self.overrides]


def read_arguments(words: Sequence[str], program: str) -> Arguments:
    """Parses the command line of training. Exits with 2 on an unknown flag.

    `sweep=NAME` selects conf/sweep/NAME.yaml and implies `-m` if the file exists. Otherwise it names the runs.

    Args:
        words: the words behind the program's name.
        program: its name, for messages.
    """
    from hydra._internal.utils import (
        get_args_parser,  # imported here, so that importing this module does not load Hydra
    )

    parser = get_args_parser()
    parser.prog = program
    parser.usage = "%(prog)s [GROUP=OPTION …] [KEY=VALUE …] [-m]   (--help lists them)"
    typed = parser.parse_intermixed_args(words)
    if typed.resolve and typed.cfg is None and not typed.help:
        parser.error("--resolve goes with --cfg job")
    for override in typed.overrides:
        if override.startswith("="):
            parser.error(f"{override}: there is no key before the =")
    flags = list(words)
    for override in typed.overrides:
        flags.remove(override)
    folders = [*config_dirs(), *([Path(typed.config_dir)] if typed.config_dir is not None else [])]
    names = [override.partition("=")[2] for override in typed.overrides if override.startswith("sweep=")]
    if len(names) > 1 or any("," in name for name in names):
        parser.error(f"sweep={','.join(names)}: one sweep at a time")
    sweeps = sorted({path.stem for folder in (conf_dir(), *folders) for path in (folder / "sweep").glob("*.yaml")})
    overrides, note = name_runs(typed.overrides), ""
    if names and names[0] in sweeps:
        runs_nothing = typed.cfg is not None or typed.info is not None or typed.help
        if not (typed.multirun or runs_nothing):
            flags.append("-m")
    elif names:
        overrides = [word.replace("sweep=", "sweep_name=", 1) if word[:6] == "sweep=" else word for word in overrides]
        near = did_you_mean(names[0], sweeps)
        note = f"sweep={names[0]} is only a name for these runs; {near}" if near else ""
    alone = [name for name in _FOR_HYDRA_ALONE if getattr(typed, name) not in (None, False)]
    asked = f"--{alone[0].replace('_', '-')}" if alone else ""
    return Arguments([*overrides, *flags], overrides, folders, typed.help, asked, note)


def print_help(config_dirs: Sequence[Path]) -> None:
    """Prints usage, examples and every group's options, as wide as the terminal.

    Args:
        config_dirs: folders with config groups, the first of them with `train.yaml`; later ones add options.
    """
    width = shutil.get_terminal_size((100, 24)).columns
    print(help_text(config_dirs, width))


def help_text(config_dirs: Sequence[Path], width: int) -> str:
    """The text that `print_help` prints, its descriptions wrapped to `width` columns."""
    width = min(max(width, _MIN_WIDTH), _MAX_WIDTH)
    chosen = _defaults(config_dirs)
    options = read_options(config_dirs)
    names = [group for group in chosen if group in options] + sorted(options.keys() - chosen.keys())
    group_width = max((len(name) for name in names), default=0)
    option_width = max((len(option) for group in options.values() for option in group), default=0)
    lines = []
    for group in names:
        for index, (option, description) in enumerate(options[group].items()):
            mark = "*" if option == chosen.get(group) else " "
            title = group if index == 0 else ""
            start = f"  {title:{group_width}} {mark} {option:{option_width}}  "
            lines += textwrap.wrap(
                description, width, initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False
            ) or [start.rstrip()]
    return "\n".join([_USAGE, _HEADING, *lines, "", *textwrap.wrap(_LOCAL, width), "", _EXAMPLES])


def read_options(config_dirs: Iterable[Path]) -> dict[str, dict[str, str]]:
    """Group → option → the line that describes it, of all folders together."""
    options: dict[str, dict[str, str]] = {}
    for folder in config_dirs:
        for path in sorted(folder.glob("*/*.yaml")):
            group = path.parent.name
            if group not in _NOT_SHOWN and not group.startswith("."):
                options.setdefault(group, {})[path.stem] = _description(path)
    return options


def _description(path: Path) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        # Hydra's directives are comments, too.
        if line.startswith("#") and not line.startswith("# @package"):
            return line.lstrip("# ").rstrip()
        if line and not line.startswith("#"):
            break
    return ""


def _defaults(config_dirs: Iterable[Path]) -> dict[str, str | None]:
    """The option that train.yaml takes of each group, in its order."""
    paths = (folder / "train.yaml" for folder in config_dirs)
    main = next((path for path in paths if path.is_file()), None)
    if main is None:
        return {}
    entries = yaml.safe_load(main.read_text(encoding="utf-8")).get("defaults", [])
    pairs = (pair for entry in entries if isinstance(entry, dict) for pair in entry.items())
    return {str(group).partition("@")[0]: option for group, option in pairs if " " not in str(group)}
