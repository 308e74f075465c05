"""`python -m ordinalclip.datasets`: lists, checks and shows data sets without training."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ordinalclip.cli.command import log_to_terminal, report_error, take_config_dirs
from ordinalclip.config.compose import using_config_dirs
from ordinalclip.datasets.inspection import check_dataset, list_datasets, show_dataset

_COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "check": check_dataset,
    "list": list_datasets,
    "show": show_dataset,
}
_USAGE = """\
OrdinalCLIP reads a data set without training on it.

  python -m ordinalclip.datasets list
  python -m ordinalclip.datasets check dataset=NAME [dataset.KEY=VALUE …] [protocol=…] [subset.KEY=…] [paths.KEY=…]
  python -m ordinalclip.datasets show  dataset=NAME [the same] [out=FILE.png] [per_rank=8] [size=96]

Each takes --config-dir FOLDER with data sets of your own.

  list    all data sets with a line about each
  check   counts per rank and split, unreadable images, duplicates, leakage, notes, licence, citation
  show    a sheet with a few images of each rank

The exit status of check is 0 if training can start, 1 if it would stop at images or labels that cannot be used, and 2
if the data set or an argument cannot be used.

Examples
  python -m ordinalclip.datasets check dataset=folder dataset.root=my_images
  python -m ordinalclip.datasets check dataset=hci dataset.root=HistoricalColor-ECCV2012 dataset.fold=3
  python -m ordinalclip.datasets show dataset=elpv out=elpv.png"""


def main() -> None:
    """Runs a command. The exit status is 2 for errors of the user, 130 for Ctrl-C and 1 for other errors."""
    words = sys.argv[1:]
    if not words or {"-h", "--help"} & set(words):
        print(_USAGE)
        return
    log_to_terminal()
    folders: list[Path] = []
    try:
        words, folders = take_config_dirs(words)
        name = words[0] if words else ""
        if name not in _COMMANDS:
            print(f"error: {name}: unknown command\n  allowed: {', '.join(_COMMANDS)}", file=sys.stderr)
            sys.exit(2)
        with using_config_dirs(folders):
            status = _COMMANDS[name](words[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # `… | head`; without a stdout, Python prints no second error at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.exit(report_error(error, words[1:], folders))
    sys.exit(status)


if __name__ == "__main__":
    main()
