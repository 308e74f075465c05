"""The text of `--help`: the config groups and their options, read from the yaml files without Hydra."""

import shutil
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

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
