"""What was typed on the command line, sorted before Hydra sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.utils import get_args_parser

from ordinalclip.conf_dir import conf_dir
from ordinalclip.signatures import did_you_mean

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


@dataclass(frozen=True)
class Arguments:
    """The command line.

    Attributes:
        for_hydra: all of it, flags last: Hydra itself refuses overrides on both sides of `-m`.
        overrides: those of the form key=value.
        config_dirs: of `--config-dir`.
        help: whether `--help` is among them.
        for_hydra_alone: the first flag that asks something of Hydra itself, such as `--cfg`; "" where there is none.
        note: what to tell before anything else; empty where there is nothing to tell.
    """

    for_hydra: list[str]
    overrides: list[str]
    config_dirs: list[Path]
    help: bool
    for_hydra_alone: str = ""
    note: str = ""

    def varied(self, overrides: Sequence[str]) -> list[str]:
        """Those of a job's overrides that were not typed as they are: what tells it from the others of its sweep."""
        return [override for override in overrides if override not in self.overrides]


def read_arguments(words: Sequence[str], program: str) -> Arguments:
    """Sorts the words behind the program's name; exits with 2 on a flag that there is not.

    `sweep=NAME` is one of conf/sweep where there is such a file, and then means `-m`; any other is a name for runs.

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
    names = [override.partition("=")[2] for override in typed.overrides if override.startswith("sweep=")]
    if len(names) > 1 or any("," in name for name in names):
        parser.error(f"sweep={','.join(names)}: one sweep at a time")
    sweeps = sorted({path.stem for folder in (conf_dir(), *folders) for path in (folder / "sweep").glob("*.yaml")})
    overrides, note = typed.overrides, ""
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
