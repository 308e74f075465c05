"""What was typed on the command line, sorted before Hydra sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.utils import get_args_parser


@dataclass(frozen=True)
class Arguments:
    """The command line.

    Attributes:
        for_hydra: all of it, flags last: Hydra itself refuses overrides on both sides of `-m`.
        overrides: those of the form key=value.
        config_dirs: of `--config-dir`.
        help: whether `--help` is among them.
    """

    for_hydra: list[str]
    overrides: list[str]
    config_dirs: list[Path]
    help: bool

    def varied(self, overrides: Sequence[str]) -> list[str]:
        """Those of a job's overrides that were not typed as they are: what tells it from the others of its sweep."""
        return [override for override in overrides if override not in self.overrides]


def read_arguments(words: Sequence[str], program: str) -> Arguments:
    """Sorts the words behind the program's name; exits with 2 on a flag that there is not.

    Args:
        words: of the command line.
        program: its name, for the message.
    """
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
    folders = [Path(typed.config_dir)] if typed.config_dir is not None else []
    return Arguments([*typed.overrides, *flags], typed.overrides, folders, typed.help)
