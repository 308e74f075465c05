"""A table of the paper to print: for each method a row as published and a row of ours."""

from collections.abc import Sequence

from analysis.layouts import LAYOUTS
from analysis.our_scores import Ours
from analysis.paper_table import PaperTable
from analysis.published import PublishedScore
from analysis.sheet import EMPTY, Cell, Sheet

_DIGITS = {"mae": 3, "accuracy_percent": 2, "ordinality_percent": 2}


def table_sheet(table: PaperTable) -> Sheet:
    """The table to print: for each method a row as published and a row of ours."""
    rows = []
    for row in table.rows:
        scores = [table.published.get((row, column)) for column in table.columns]
        if any(score is not None for score in scores):
            rows.append([Cell(row), Cell("published"), *map(_published_cell, scores)])
        known = [score for score in table.published.values() if score.command]
        if any(score is not None and score.command for score in scores) or not any(scores):
            found = [table.ours.get((row, column)) for column in table.columns]
            metrics = [_metric(table, column, known) for column in table.columns]
            what = _whose({len(one.scores) for one in found if one is not None})
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


def _whose(repetitions: set[int]) -> str:
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


def _our_cell(found: Ours | None, metric: str) -> Cell:
    if found is None:
        return Cell(EMPTY)
    digits = _DIGITS[metric]
    mean = float(found.scores.mean())
    if len(found.scores) < 2:
        return Cell(f"{mean:.{digits}f}", {"": mean, "std": None})
    std = float(found.scores.std(ddof=1))
    return Cell(f"{mean:.{digits}f} ± {std:.{digits}f}", {"": mean, "std": std})
