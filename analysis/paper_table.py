"""The tables of the paper: published scores and ours in the same cells. Cells without runs are empty.

`LAYOUTS` defines which published scores are in a table, and their rows and columns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.paper_cells import (
    OurScores,
    PublishedCell,
    distinguishing_keys,
    is_on_dataset,
    matches_cell,
    published_cells,
    recipe_differences,
    scores_in_cell,
    setting_keys,
)
from analysis.sheets import EMPTY, Cell, Sheet
from ordinalclip.errors import ConfigError
from ordinalclip.report.published import PublishedScore, read_published
from ordinalclip.report.tables import ON_TEST

MAIN = ("MORPH II", "Adience", "Image Aesthetics", "HCI")
_DIGITS = {"mae": 3, "accuracy_percent": 2, "ordinality_percent": 2}
UNITS = {"mae": "MAE", "accuracy_percent": "accuracy %", "ordinality_percent": "ordinality %"}


@dataclass(frozen=True)
class Layout:
    """Arrangement of published scores in a table.

    Attributes:
        title: one line.
        has: whether a score is in the table.
        row: name of a score's row.
        column: name of a score's column.
        own_data: whether runs must be on the data set of their column; otherwise on any single data set.
    """

    title: str
    has: Callable[[PublishedScore], bool]
    row: Callable[[PublishedScore], str]
    column: Callable[[PublishedScore], str]
    own_data: bool = False


LAYOUTS = {
    "main": Layout(
        "the four data sets",
        lambda score: score.table in MAIN and score.setting in ("", "overall"),
        lambda score: score.method,
        lambda score: f"{score.table} {UNITS[score.metric]}",
        own_data=True,
    ),
    "aesthetics": Layout(
        "Image Aesthetics by category",
        lambda score: score.table == "Image Aesthetics",
        lambda score: score.method,
        lambda score: f"{score.setting} {UNITS[score.metric]}",
        own_data=True,
    ),
    "few_shot": Layout(
        "few-shot, MAE in ranks by training images of each rank",
        lambda score: score.table == "few-shot",
        lambda score: score.method,
        lambda score: score.setting,
    ),
    "shift": Layout(
        "distribution shift, MAE in ranks by ranks reduced - percent of their images removed",
        lambda score: score.table == "distribution shift",
        lambda score: score.method,
        lambda score: score.setting,
    ),
    "base_ranks": Layout(
        "number of base ranks and interpolation, MAE in ranks",
        lambda score: score.table == "base ranks",
        lambda score: score.setting.partition(" ")[0],
        lambda score: score.setting.partition(" ")[2],
    ),
    "tuned": Layout(
        "what is tuned and what it starts from, MAE in ranks",
        lambda score: score.table == "what is tuned",
        lambda score: score.method,
        lambda score: score.setting,
    ),
    "ordinality": Layout(
        "ordinality of the rank features",
        lambda score: score.table == "ordinality",
        lambda score: f"{score.method}, {score.setting}" if score.setting else score.method,
        lambda score: UNITS[score.metric],
    ),
}


@dataclass(frozen=True, eq=False)
class PaperTable:
    """A table of the paper with our runs.

    Attributes:
        name: key of `LAYOUTS`.
        rows: names of the rows: published methods, then our methods that are not in the paper.
        columns: names of the columns.
        published: (row, column) → published score.
        ours: (row, column) → our runs, without empty cells.
        notes: remarks for the reader.
    """

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    published: dict[tuple[str, str], PublishedScore]
    ours: dict[tuple[str, str], OurScores]
    notes: tuple[str, ...]


def paper_table(name: str, frame: pd.DataFrame, scores: Sequence[PublishedScore] | None = None) -> PaperTable:
    """Assigns runs to the cells of a published table.

    Args:
        name: key of `LAYOUTS`.
        frame: table of runs, from `analysis.frame`.
        scores: published scores; None = all of `published.csv`.

    Raises:
        ConfigError: if runs of one cell differ in more than seed and fold, or a table of one data set has runs of
            several.
    """
    layout = LAYOUTS[name]
    cells = published_cells([score for score in scores or read_published() if layout.has(score)])
    finished = frame[frame["state"] == "finished"] if "state" in frame else frame
    published = {(layout.row(cell.score), layout.column(cell.score)): cell.score for cell in cells}
    ours: dict[tuple[str, str], OurScores] = {}
    placed: set[object] = set()
    notes: list[str] = []
    recipes: dict[str, dict[str, None]] = {}
    tables = {cell.score.table: [c for c in cells if c.score.table == cell.score.table] for cell in cells}
    for of_table in tables.values():
        keys = distinguishing_keys(of_table)
        for cell in of_table:
            mine = [_is_in(run, cell, keys, layout) for _, run in finished.iterrows()]
            runs = finished[mine] if mine else finished
            place = (layout.row(cell.score), layout.column(cell.score))
            _fill_cell(ours, place, runs, cell, notes)
            placed |= set(runs.index)
            for key, (own, paper) in (recipe_differences(runs, cell) if len(runs) else {}).items():
                recipes.setdefault(f"{key} {own} (paper: {paper})", {})
    _add_own_methods(ours, finished.drop(index=list(placed)), tables, layout, notes, placed)
    _check_one_dataset(ours, layout)
    rows = dict.fromkeys([*(row for row, _ in published), *(row for row, _ in ours)])
    columns = dict.fromkeys(column for _, column in published)
    notes += _notes(frame, finished, len(placed), ours, list(recipes))
    return PaperTable(name, tuple(rows), tuple(columns), published, ours, tuple(dict.fromkeys(notes)))


def _is_in(
    run: pd.Series, cell: PublishedCell, keys: Sequence[str], layout: Layout, *, any_method: bool = False
) -> bool:
    settings = {str(key): value for key, value in run.items()}
    if layout.own_data and not is_on_dataset(settings, cell.score.dataset):
        return False
    has_part = "dataset.category" in cell.settings and "dataset.category" not in cell.swept
    if layout.own_data and has_part and settings.get("dataset.category") != cell.settings["dataset.category"]:
        return False
    return matches_cell(settings, cell, keys, any_method=any_method)


def _fill_cell(
    ours: dict[tuple[str, str], OurScores],
    place: tuple[str, str],
    runs: pd.DataFrame,
    cell: PublishedCell,
    notes: list[str],
) -> None:
    if runs.empty:
        return
    found = scores_in_cell(runs.reset_index(drop=True), cell, " ".join(place))
    if found.note:
        notes.append(f"{' '.join(place)}: {found.note}")
    if len(found.scores):
        ours[place] = found


def _add_own_methods(
    ours: dict[tuple[str, str], OurScores],
    left: pd.DataFrame,
    tables: dict[str, list[PublishedCell]],
    layout: Layout,
    notes: list[str],
    placed: set[object],
) -> None:
    """Adds rows for our methods that are not in the paper, such as a trained linear head."""
    for cells in tables.values():
        one_cell_per_row = len({layout.row(cell.score) for cell in cells}) == len(cells)
        columns = [] if one_cell_per_row else setting_keys(cells, distinguishing_keys(cells))
        if any(key.startswith("trainable.") for key in columns) or not (columns or one_cell_per_row or layout.own_data):
            continue  # the table compares what is trained
        first = {layout.column(cell.score): cell for cell in reversed(cells) if cell.settings}
        for column, cell in first.items():
            mine = [_is_in(run, cell, columns, layout, any_method=True) for _, run in left.iterrows()]
            for prompt, runs in left[mine].groupby("prompt.name") if any(mine) else []:
                _fill_cell(ours, (f"prompt={prompt}", column), runs, cell, notes)
                placed |= set(runs.index)


def _check_one_dataset(ours: dict[tuple[str, str], OurScores], layout: Layout) -> None:
    if layout.own_data:
        return
    names = sorted({str(name) for found in ours.values() for name in found.runs["dataset.name"]})
    if len(names) > 1:
        raise ConfigError("dataset", ", ".join(names), "one table has one data set", allowed=f"dataset={names[0]}, …")


def _notes(
    frame: pd.DataFrame, finished: pd.DataFrame, placed: int, ours: dict[tuple[str, str], OurScores], recipes: list[str]
) -> list[str]:
    notes = []
    used = pd.concat([found.runs for found in ours.values()]) if ours else finished.iloc[:0]
    if len(used) and (used["selected_on"] == "test").any():
        notes.append(ON_TEST)
    if recipes:
        listed = "; ".join(recipes[:8]) + ("; …" if len(recipes) > 8 else "")
        notes.append(f"ours are not the paper's recipe: {listed}")
    if placed < len(finished):
        notes.append(f"{len(finished) - placed} of {len(finished)} finished runs belong to no cell of this table")
    if len(finished) < len(frame):
        notes.append(f"{len(frame) - len(finished)} of {len(frame)} runs are not finished")
    return notes


def table_sheet(table: PaperTable) -> Sheet:
    """Returns the table to print: for each method, a row of published scores and a row of ours."""
    rows = []
    for row in table.rows:
        scores = [table.published.get((row, column)) for column in table.columns]
        if any(score is not None for score in scores):
            rows.append([Cell(row), Cell("published"), *map(_published_cell, scores)])
        known = [score for score in table.published.values() if score.command]
        if any(score is not None and score.command for score in scores) or not any(scores):
            found = [table.ours.get((row, column)) for column in table.columns]
            metrics = [_metric(table, column, known) for column in table.columns]
            what = _describe_ours({len(one.scores) for one in found if one is not None})
            cells = [_our_cell(one, metric) for one, metric in zip(found, metrics, strict=True)]
            rows.append([Cell(row if not any(scores) else ""), Cell(what), *cells])
    return Sheet(
        name=table.name,
        title=f"{LAYOUTS[table.name].title}; ± is the standard deviation over seeds or folds",
        headings=["method" if table.name != "base_ranks" else "interpolation", "", *table.columns],
        rows=rows,
        notes=table.notes,
        numeric=len(table.columns),
    )


def _describe_ours(repetitions: set[int]) -> str:
    if not repetitions:
        return "ours, no runs"
    least, most = min(repetitions), max(repetitions)
    return f"ours, n = {least}" if least == most else f"ours, n = {least} … {most}"


def _metric(table: PaperTable, column: str, known: Sequence[PublishedScore]) -> str:
    return next((score.metric for (_, c), score in table.published.items() if c == column), known[0].metric)


def _published_cell(score: PublishedScore | None) -> Cell:
    if score is None:
        return Cell(EMPTY)
    digits = 2 if score.metric != "mae" or round(score.value, 2) == score.value else 3
    text = f"{score.value:.{digits}f}" + (f" ± {score.std:.2f}" if score.std is not None else "")
    return Cell(text, {"": score.value, "std": score.std})


def _our_cell(found: OurScores | None, metric: str) -> Cell:
    if found is None:
        return Cell(EMPTY)
    digits = _DIGITS[metric]
    mean = float(found.scores.mean())
    if len(found.scores) < 2:
        return Cell(f"{mean:.{digits}f}", {"": mean, "std": None})
    std = float(found.scores.std(ddof=1))
    return Cell(f"{mean:.{digits}f} ± {std:.{digits}f}", {"": mean, "std": std})
