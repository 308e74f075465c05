"""The ordinality of many runs' rank features as tables."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from analysis.compare_sheets import number
from analysis.sheet import EMPTY, Cell, Sheet
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.ordinality_record import ordinality_of_run
from ordinalclip.report import ON_TEST
from ordinalclip.runs import Run


def ordinality_frame(frame: pd.DataFrame, ranks: tuple[int, int] | None = None) -> pd.DataFrame:
    """Every score of runs' rank features.

    Args:
        frame: of the runs, as `analysis.frame` has it.
        ranks: score ranks first…last-1 alone; None: all.

    Returns:
        A row a run and stage (`before` training, `best` epoch): `run_id`, `name`, `prompt.name`, `seed`, `selected_on`
        and the columns of `ordinalclip.ordinality_record.ordinality_of_run`. Runs without rank features have no row.

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
