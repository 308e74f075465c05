"""`python -m ordinalclip.ordinality`: scores the order of a run's rank features, before training and at its best epoch.

The features are read from the record: no tower is loaded, and torch is not imported.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from ordinalclip.cli.command import read_words, run_command
from ordinalclip.config.compose import compose_defaults
from ordinalclip.errors import ConfigError
from ordinalclip.runs.find import find_run

_USAGE = """\
OrdinalCLIP scores how ordered a run's rank features are, before training and at its best epoch, from its record alone.

  python -m ordinalclip.ordinality run=RUN [ranks=15:76] [paths.runs=FOLDER]

  run       a run's directory, its name below paths.runs, or its id
  ranks     score only ranks first … last-1; the paper's script uses 15:76 of 101 ages

It shows, each beside its chance level: the paper's score by span (one direction, the diagonal counted); the adjusted
one (both directions, no diagonal, 0 by chance, 1 for perfect order); Kendall's tau-b between rank distance and
dissimilarity; and the neighbouring ranks that other ranks find out of order.
Sets of runs: python -m analysis.ordinality.

Example
  python -m ordinalclip.ordinality run=f13567ff29"""
_MOST_PAIRS = 8


def main() -> None:
    """Entry point."""
    run_command(show_ordinality, _USAGE)


def show_ordinality(words: Sequence[str], console: Console | None = None) -> pd.DataFrame:
    """Prints the ordinality scores of a run.

    Args:
        words: words of the form key=value; `run=` is required.
        console: None is the terminal.

    Returns:
        `ordinality_of_run`'s table.

    Raises:
        ConfigError: a word cannot be used.
        DataError: the run has no rank features.
    """
    from ordinalclip.metrics.ordinality import ordinality
    from ordinalclip.scoring.ordinality import ordinality_of_run, rank_features_of

    typed = read_words(
        words, ("run", "ranks", "paths.runs"), {"run": "a run's directory, its name below paths.runs, or its id"}
    )
    ranks = _slice(typed["ranks"]) if "ranks" in typed else None
    here = compose_defaults(typed)
    run = find_run(typed["run"], Path(here["paths"]["runs"]), "run")
    scores = ordinality_of_run(run, ranks)
    console = console or Console(highlight=False)
    console.out(f"{run.directory.name}: {scores['num_ranks'].iloc[0]} ranks")
    console.print(_table(scores))
    names = (run.read_json("ranks.json") or {}).get("names")
    for stage, features_RD in rank_features_of(run).items():
        pairs = ordinality(features_RD, ranks).out_of_order
        told = [f"{_pair(int(pair['rank']), names)} ({pair['share']:.0%})" for pair in pairs[:_MOST_PAIRS]]
        more = f" and {len(pairs) - _MOST_PAIRS} more" if len(pairs) > _MOST_PAIRS else ""
        console.out(
            f"{stage}: neighbours out of order for a share of the other ranks: {', '.join(told) or 'none'}{more}"
        )
    return scores


def _slice(typed: str) -> tuple[int, int]:
    first, colon, last = typed.partition(":")
    if not (colon and first.strip().isdigit() and last.strip().isdigit()):
        raise ConfigError("ranks", typed, "is no slice of the ranks", allowed="first:last, such as 15:76")
    return int(first), int(last)


def _table(scores: pd.DataFrame) -> Table:
    table = Table("", *scores["stage"], "by chance", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    spans = [name for name in map(str, scores) if name.startswith("span_") and not name.endswith("_chance")]
    rows = [("score of the paper, all spans", "score", scores["score_chance"].iloc[0])]
    rows += [(f"… span {name.removeprefix('span_')}", name, scores[f"{name}_chance"].iloc[0]) for name in spans[:-1]]
    largest = scores["kendall_largest"].iloc[0]
    rows += [
        ("adjusted, 1 for perfect order", "adjusted", 0.0),
        (f"Kendall's tau-b, at most {largest:.3f}", "kendall", 0.0),
    ]
    for heading, name, chance in rows:
        table.add_row(heading, *(f"{value:.3f}" for value in scores[name]), f"{chance:.3f}")
    return table


def _pair(rank: int, names: Sequence[str] | None) -> str:
    one, other = (rank, rank + 1) if names is None else (names[rank], names[rank + 1])
    return f"{one} | {other}"


if __name__ == "__main__":
    main()
