"""`python -m analysis.ordinality runs/…`: how ordered the rank features of runs are, before training and after it."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.usage import FORMAT_USAGE, RUN_USAGE, RUN_WORDS, read_words, runs_root
from ordinalclip.command import run_command
from ordinalclip.errors import ConfigError

if TYPE_CHECKING:  # help does without tables
    import pandas as pd

log = logging.getLogger("ordinalclip")

_USAGE = f"""\
OrdinalCLIP scores the order of rank features of any runs, from their records alone.

  python -m analysis.ordinality RUN… [ranks=FIRST:LAST] [KEY=VALUE …]

  RUN       directories, names or ids of runs, or folders of them (paths.runs)
{RUN_USAGE}
  ranks     score ranks FIRST…LAST-1 alone, such as 15:76 for the paper's 61 ages of MORPH among 101
{FORMAT_USAGE}

The paper's score by span counts each rank beside itself, so that random features score 1/2 + 1/R and span 1 is
always 1; the adjusted score is 0 for random features and 1 for perfect order; Kendall's τ is between distance and
dissimilarity.

Examples
  python -m analysis.ordinality runs/*
  python -m analysis.ordinality runs/gauge-mini-rank-s0-0123456789 ranks=15:76 format=latex"""


def main() -> None:
    """Entry point."""
    run_command(ordinality_command, _USAGE)


def ordinality_command(words: Sequence[str]) -> "pd.DataFrame":
    """Scores what was typed, prints or writes tables.

    Args:
        words: runs, and words of the form key=value.

    Returns:
        A row a run and stage; see `analysis.ordinality_sheets.ordinality_frame`.

    Raises:
        ConfigError: there are no such runs, or none with rank features.
    """
    from analysis.choose import choose_runs, directories
    from analysis.frame import frame_of_directories
    from analysis.ordinality_sheets import ordinality_frame, ordinality_sheets
    from analysis.write import read_formats, write_sheets

    named = [word for word in words if "=" not in word or Path(word).is_dir()]
    typed = read_words([word for word in words if word not in named])
    formats, out = read_formats(typed.pop("format", None), typed.pop("out", None))
    ranks = _slice(typed.pop("ranks", None))
    if named:
        for key in typed:
            raise ConfigError(key, typed[key], "chooses among runs, which are named already", allowed="one of the two")
        beside = [
            word for word in named if Path(word).exists() and not _holds_runs(Path(word))
        ]  # runs/* has the store, too
        if beside and len(beside) < len(named):
            log.info("not runs: %s", ", ".join(beside))
            named = [word for word in named if word not in beside]
        frame = frame_of_directories(directories(named, runs_root()))
    else:
        filters = {key: value for key, value in typed.items() if key not in RUN_WORDS}
        frame = choose_runs({key: typed[key] for key in RUN_WORDS if key in typed}, filters, runs_root())
    scores = ordinality_frame(frame, ranks)
    write_sheets(ordinality_sheets(scores), formats, out)
    return scores


def _holds_runs(place: Path) -> bool:
    from analysis.frame import find_directories

    return (place / "status.json").is_file() or bool(find_directories(place))


def _slice(typed: str | None) -> tuple[int, int] | None:
    if typed is None:
        return None
    first, colon, last = typed.partition(":")
    if not (colon and first.isdigit() and last.isdigit()):
        raise ConfigError("ranks", typed, "is no slice of ranks", allowed="FIRST:LAST, such as 15:76")
    return int(first), int(last)


if __name__ == "__main__":
    main()
