"""`python -m analysis.ordinality`: how ordered the rank features of runs are, before and after training."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.run_selection import (
    FORMAT_USAGE,
    RUN_USAGE,
    find_runs_named,
    read_words,
    runs_root,
    select_runs,
)
from analysis.sheets import EMPTY, Cell, Sheet, format_number, read_formats, write_sheets
from ordinalclip.cli.command import run_command
from ordinalclip.errors import ConfigError, DataError

if TYPE_CHECKING:  # imported by the functions that need it, so that --help is fast
    import pandas as pd

log = logging.getLogger("ordinalclip")

_USAGE = f"""\
OrdinalCLIP scores the order of the rank features of runs, from their records.

  python -m analysis.ordinality RUN… [ranks=FIRST:LAST] [KEY=VALUE …]

  RUN       directories, names or ids of runs, or folders of them (paths.runs)
{RUN_USAGE}
  ranks     score only ranks FIRST…LAST-1, such as 15:76 for the paper's 61 ages of MORPH among 101
{FORMAT_USAGE}

The paper's score by span also counts each rank with itself, so that random features score 1/2 + 1/R and span 1 is
always 1. The adjusted score is 0 for random features and 1 for perfect order. Kendall's τ is that between distance and
dissimilarity.

Examples
  python -m analysis.ordinality runs/*
  python -m analysis.ordinality runs/gauge-mini-rank-s0-0123456789 ranks=15:76 format=latex"""


def main() -> None:
    """Entry point."""
    run_command(ordinality_command, _USAGE)


def ordinality_command(words: Sequence[str]) -> "pd.DataFrame":
    """Scores the rank features of runs, and prints or writes tables.

    Args:
        words: runs, and words of the form key=value.

    Returns:
        One row per run and stage; see `ordinality_frame`.

    Raises:
        ConfigError: if there are no such runs, or none has rank features.
    """
    from analysis.frame import frame_of_directories

    named = [word for word in words if "=" not in word or Path(word).is_dir()]
    typed = read_words([word for word in words if word not in named])
    formats, out = read_formats(typed.pop("format", None), typed.pop("out", None))
    ranks = _parse_slice(typed.pop("ranks", None))
    if named:
        for key in typed:
            raise ConfigError(key, typed[key], "chooses among runs, which are named already", allowed="one of the two")
        # runs/* also matches the store.
        others = [word for word in named if Path(word).exists() and not _holds_runs(Path(word))]
        if others and len(others) < len(named):
            log.info("not runs: %s", ", ".join(others))
            named = [word for word in named if word not in others]
        frame = frame_of_directories(find_runs_named(named, runs_root()))
    else:
        frame = select_runs(typed, runs_root())
    scores = ordinality_frame(frame, ranks)
    write_sheets(ordinality_sheets(scores), formats, out)
    return scores


def _holds_runs(place: Path) -> bool:
    from analysis.frame import find_directories

    return (place / "status.json").is_file() or bool(find_directories(place))


def _parse_slice(typed: str | None) -> tuple[int, int] | None:
    if typed is None:
        return None
    first, colon, last = typed.partition(":")
    if not (colon and first.isdigit() and last.isdigit()):
        raise ConfigError("ranks", typed, "is not a slice of ranks", allowed="FIRST:LAST, such as 15:76")
    return int(first), int(last)


def ordinality_frame(frame: "pd.DataFrame", ranks: tuple[int, int] | None = None) -> "pd.DataFrame":
    """Returns all ordinality scores of the rank features of runs.

    Args:
        frame: table of runs, from `analysis.frame`.
        ranks: score only ranks first…last-1; None = all.

    Returns:
        One row per run and stage (`before` training, `best` epoch): `run_id`, `name`, `prompt.name`, `seed`,
        `selected_on` and the columns of `ordinalclip.scoring.ordinality.ordinality_of_run`. Runs without rank features
        have no row; `attrs["lacking"]` lists them.

    Raises:
        ConfigError: if no run has rank features, or `ranks` is not a slice of them.
    """
    import pandas as pd

    from ordinalclip.runs.run import Run
    from ordinalclip.scoring.ordinality import ordinality_of_run

    parts, errors = [], []
    for _, run in frame.iterrows():
        try:
            scores = ordinality_of_run(Run(Path(run["directory"])), ranks)
        except DataError as error:
            errors.append(str(error).splitlines()[0])
            continue
        for key in ("run_id", "name", "prompt.name", "seed", "selected_on"):
            scores[key] = [run.get(key)] * len(scores)
        parts.append(scores)
    if not parts:
        example = errors[0] if errors else "there are no runs"
        raise ConfigError("runs", f"{len(frame)} runs", f"none has rank features, such as: {example}")
    table = pd.concat(parts, ignore_index=True)
    table.attrs["lacking"] = [run["name"] for _, run in frame.iterrows() if run["name"] not in set(table["name"])]
    return table


def ordinality_sheets(scores: "pd.DataFrame") -> list[Sheet]:
    """Returns two tables for each number of ranks: the paper's score by span, and the corrected scores."""
    sheets = []
    for num_ranks, part in scores.groupby("num_ranks"):
        of_ranks = part.dropna(axis=1, how="all").reset_index(drop=True)
        sheets += [_spans_sheet(of_ranks, int(str(num_ranks))), _corrected_sheet(of_ranks, int(str(num_ranks)))]
    if scores.attrs.get("lacking"):
        note = f"without rank features: {', '.join(scores.attrs['lacking'])}"
        sheets[0] = replace(sheets[0], notes=[*sheets[0].notes, note])
    return sheets


def _selection_notes(part: "pd.DataFrame") -> list[str]:
    from ordinalclip.report.tables import ON_TEST

    return [ON_TEST] if (part["selected_on"] == "test").any() else []


def _spans_sheet(part: "pd.DataFrame", num_ranks: int) -> Sheet:
    words = [name.removeprefix("span_") for name in map(str, part) if name.startswith("span_")]
    spans = [int(word) for word in words if word.isdigit()]
    first = part.iloc[0]
    chance = [Cell(format_number(first[f"span_{span}_chance"]), {"": first[f"span_{span}_chance"]}) for span in spans]
    rows = [[Cell("by chance"), Cell(""), *chance]]
    for _, row in part.iterrows():
        found = [Cell(format_number(row[f"span_{span}"]), {"": row[f"span_{span}"]}) for span in spans]
        rows.append([Cell(_stamped(row)), Cell(row["stage"]), *found])
    return Sheet(
        name=f"spans-{num_ranks}",
        title=f"ordinality of {num_ranks} ranks: share of pairs in order, by how far apart [OrdinalCLIP]",
        headings=["run", "stage", *(f"span {span}" if span < num_ranks - 1 else "all" for span in spans)],
        rows=rows,
        notes=_selection_notes(part),
        numeric=len(spans),
    )


def _corrected_sheet(part: "pd.DataFrame", num_ranks: int) -> Sheet:
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
        cells = [Cell(_format_score(known.get(key), key), {"": known.get(key)}) for key in columns]
        rows.append([Cell(name), Cell(""), *cells])
    for _, row in part.iterrows():
        cells = [Cell(_format_score(row[key], key), {"": row[key]}) for key in columns]
        rows.append([Cell(_stamped(row)), Cell(row["stage"]), *cells])
    return Sheet(
        name=f"corrected-{num_ranks}",
        title=f"ordinality of {num_ranks} ranks without the diagonal, both directions, chance removed",
        headings=["run", "stage", *columns.values()],
        rows=rows,
        notes=_selection_notes(part),
        numeric=len(columns),
    )


def _format_score(value: float | None, key: str) -> str:
    if value is None:
        return EMPTY
    return f"{value:.0f}" if key == "neighbours_out_of_order" else format_number(value)


def _stamped(row: "pd.Series") -> str:
    return f"{row['name']} *" if row["selected_on"] == "test" else str(row["name"])


if __name__ == "__main__":
    main()
