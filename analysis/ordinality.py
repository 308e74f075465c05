"""The ordinality of many runs' rank features as tables."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from analysis.choose import FORMAT_USAGE, RUN_USAGE, RUN_WORDS, read_words, runs_root
from analysis.comparison import number
from analysis.sheets import EMPTY, Cell, Sheet
from ordinalclip.cli.command import run_command
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.report.tables import ON_TEST
from ordinalclip.runs.run import Run
from ordinalclip.scoring.ordinality import ordinality_of_run

if TYPE_CHECKING:  # help does without tables
    import pandas as pd


def ordinality_frame(frame: pd.DataFrame, ranks: tuple[int, int] | None = None) -> pd.DataFrame:
    """Every score of runs' rank features.

    Args:
        frame: of the runs, as `analysis.frame` has it.
        ranks: score ranks first…last-1 alone; None: all.

    Returns:
        A row a run and stage (`before` training, `best` epoch): `run_id`, `name`, `prompt.name`, `seed`, `selected_on`
        and the columns of `ordinalclip.scoring.ordinality.ordinality_of_run`. Runs without rank features have no row.

    Raises:
        ConfigError: no run has rank features, or `ranks` is no slice of theirs.
    """
    parts, lacking = [], []
    for _, run in frame.iterrows():
        try:
            scores = ordinality_of_run(Run(Path(run["directory"])), ranks)
        except DataError as error:
            lacking.append(str(error).splitlines()[0])
            continue
        for key in ("run_id", "name", "prompt.name", "seed", "selected_on"):
            scores[key] = [run.get(key)] * len(scores)
        parts.append(scores)
    if not parts:
        told = lacking[0] if lacking else "there are no runs"
        raise ConfigError("runs", f"{len(frame)} runs", f"none has rank features, such as: {told}")
    table = pd.concat(parts, ignore_index=True)
    table.attrs["lacking"] = [run["name"] for _, run in frame.iterrows() if run["name"] not in set(table["name"])]
    return table


def ordinality_sheets(scores: pd.DataFrame) -> list[Sheet]:
    """Two tables for each number of ranks: the paper's score by span, and the corrected scores."""
    sheets = []
    for num_ranks, part in scores.groupby("num_ranks"):
        of_ranks = part.dropna(axis=1, how="all").reset_index(drop=True)
        sheets += [_spans_sheet(of_ranks, int(str(num_ranks))), _corrected_sheet(of_ranks, int(str(num_ranks)))]
    if scores.attrs.get("lacking"):
        told = f"without rank features: {', '.join(scores.attrs['lacking'])}"
        sheets[0] = replace(sheets[0], notes=[*sheets[0].notes, told])
    return sheets


def _spans_sheet(part: pd.DataFrame, num_ranks: int) -> Sheet:
    words = [name.removeprefix("span_") for name in map(str, part) if name.startswith("span_")]
    spans = [int(word) for word in words if word.isdigit()]
    first = part.iloc[0]
    chance = [Cell(number(first[f"span_{span}_chance"]), {"": first[f"span_{span}_chance"]}) for span in spans]
    rows = [[Cell("by chance"), Cell(""), *chance]]
    for _, row in part.iterrows():
        found = [Cell(number(row[f"span_{span}"]), {"": row[f"span_{span}"]}) for span in spans]
        rows.append([Cell(_stamped(row)), Cell(row["stage"]), *found])
    return Sheet(
        name=f"spans-{num_ranks}",
        title=f"ordinality of {num_ranks} ranks: share of pairs in order, by how far apart [OrdinalCLIP]",
        headings=["run", "stage", *(f"span {span}" if span < num_ranks - 1 else "all" for span in spans)],
        rows=rows,
        notes=[ON_TEST] if (part["selected_on"] == "test").any() else [],
        numeric=len(spans),
    )


def _corrected_sheet(part: pd.DataFrame, num_ranks: int) -> Sheet:
    columns = {
        "adjusted": "adjusted",
        "kendall": "Kendall's τ",
        "off_diagonal": "falling steps",
        "neighbours_out_of_order": "neighbours out of order",
    }
    largest = part["kendall_largest"].iloc[0]
    ends = [
        ("by chance", {"adjusted": 0.0, "kendall": 0.0, "off_diagonal": 0.5}),
        ("perfect order", {"adjusted": 1.0, "kendall": largest, "off_diagonal": 1.0, "neighbours_out_of_order": 0}),
    ]
    rows = []
    for name, known in ends:
        cells = [Cell(_score(known.get(key), key), {"": known.get(key)}) for key in columns]
        rows.append([Cell(name), Cell(""), *cells])
    for _, row in part.iterrows():
        cells = [Cell(_score(row[key], key), {"": row[key]}) for key in columns]
        rows.append([Cell(_stamped(row)), Cell(row["stage"]), *cells])
    return Sheet(
        name=f"corrected-{num_ranks}",
        title=f"ordinality of {num_ranks} ranks without the diagonal, both directions, chance removed",
        headings=["run", "stage", *columns.values()],
        rows=rows,
        notes=[ON_TEST] if (part["selected_on"] == "test").any() else [],
        numeric=len(columns),
    )


def _score(value: float | None, key: str) -> str:
    if value is None:
        return EMPTY
    return f"{value:.0f}" if key == "neighbours_out_of_order" else number(value)


def _stamped(row: pd.Series) -> str:
    return f"{row['name']} *" if row["selected_on"] == "test" else str(row["name"])


# MERGED: """`python -m analysis.ordinality runs/…`: how ordered the rank features of runs are, before training and after it."""


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
        A row a run and stage; see `analysis.ordinality.ordinality_frame`.

    Raises:
        ConfigError: there are no such runs, or none with rank features.
    """
    from analysis.choose import choose_runs, directories
    from analysis.frame import frame_of_directories
    from analysis.sheets import read_formats, write_sheets

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
