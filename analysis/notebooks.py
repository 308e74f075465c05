"""Functions for the notebooks: selecting runs, showing tables and figures, and tables of a single run in depth."""

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Image, Markdown, display
from PIL import Image as Pillow

from analysis.groups import format_setting
from analysis.image_results import ImageResults
from analysis.run_selection import read_words, runs_root, select_runs
from analysis.sheets import EMPTY, Cell, Sheet, format_interval, format_number, to_markdown
from ordinalclip.config.compose import conf_dir
from ordinalclip.report.gallery import draw_figures, has_figures
from ordinalclip.report.tables import ON_TEST
from ordinalclip.runs.run import Run
from ordinalclip.scoring.intervals import bootstrap_means, bootstrap_scores, group_index, percentile_interval

_SCORES = ("mae", "mae_value", "mae_argmax", "accuracy", "accuracy_within_1", "qwk", "spearman", "rps", "nll", "brier")
_NUM_DRAWS = 1000
_WIDTH_PX = 640  # of a figure


def load_runs(*words: str) -> pd.DataFrame:
    """Returns the table of the runs selected by words of `python -m analysis.compare`.

    Args:
        words: such as "sweep=few_shot", "dataset=gauge". Without runs= or store=, the runs are those of `paths.runs`,
            relative to the current folder or to the checkout.
    """
    root = runs_root()
    return select_runs(read_words(words), root if root.is_dir() else conf_dir().parent / root)


def show(*sheets: Sheet) -> None:
    """Displays tables."""
    for sheet in sheets:
        display(Markdown(to_markdown(sheet)))


def runs_sheet(frame: pd.DataFrame, columns: Sequence[str]) -> Sheet:
    """Returns some columns of the table of runs as a sheet."""
    rows = [[_cell(run.get(column)) for column in columns] for _, run in frame.iterrows()]
    return Sheet("runs", "1 run" if len(frame) == 1 else f"{len(frame)} runs", columns, rows)


def picture(draw: Callable[..., tuple[Path, Path]], *arguments: Any) -> Image:
    """Returns a figure of a function that draws into a file.

    Args:
        draw: called with the arguments and a file without its suffix; returns the path of a PNG first.
        arguments: of `draw`.
    """
    with TemporaryDirectory() as folder:
        return small(draw(*arguments, Path(folder) / "figure")[0])


def small(file: Path) -> Image:
    """Returns an image from a file, resized to `_WIDTH_PX` at most."""
    with Pillow.open(file) as opened:
        ratio = min(1.0, _WIDTH_PX / opened.width)
        smaller = opened.convert("RGB").resize((round(opened.width * ratio), round(opened.height * ratio)))
        bytes_ = BytesIO()
        smaller.quantize(256).save(bytes_, "PNG", optimize=True)
    return Image(bytes_.getvalue())


def figures_of(run: Run, *names: str) -> None:
    """Displays figures of a run, which are drawn first if missing; unknown names are skipped."""
    if not has_figures(run):
        draw_figures(run, run.read_json("ranks.json")["names"])
    for name in names:
        file = run.directory / "figures" / f"{name}.png"
        if file.is_file():
            display(small(file))


def _cell(value: Any) -> Cell:
    if value is None or value is pd.NA or value != value:
        return Cell(EMPTY)
    return Cell(format_number(value)) if isinstance(value, float) else Cell(format_setting(value))


def scores_sheet(run: Run, tested: ImageResults, level: float = 0.95) -> Sheet:
    """Returns the test scores, each with a bootstrap interval over subjects and the constant predictor's score."""
    stats = run.read_json("test_stats.json") or {}
    subject, num_images = tested.subject, len(tested.images)
    num_groups = group_index(subject, num_images)[1]
    rows = []
    for name in _SCORES:
        if f"test/{name}" not in stats:
            continue
        scores, weighted = tested.scores(name), tested.weighted(name)
        draws = np.array([])
        if scores is not None:
            draws = bootstrap_means(scores, subject, draws=_NUM_DRAWS)
        elif weighted is not None:
            draws = bootstrap_scores(weighted, subject, num_images, draws=_NUM_DRAWS // 4)
        found = percentile_interval(draws, num_groups, level)
        constant = stats.get(f"test/constant_{name}")
        rows.append(
            [
                Cell(name),
                Cell(format_number(stats[f"test/{name}"]), {"": stats[f"test/{name}"]}),
                Cell(format_interval(found.low, found.high), {"low": found.low, "high": found.high}),
                Cell(EMPTY if constant is None else format_number(constant), {"": constant}),
            ]
        )
    unit = "subjects" if subject is not None else "images"
    notes = [f"intervals: bootstrap over {num_groups:,} {unit}; chance in training is not in them"]
    stamped = (run.read_json("labels.json") or {}).get("selected_on") == "test"
    return Sheet(
        name="scores",
        title=f"{num_images:,} test images",
        headings=["score", "this run", f"{100 * level:g} % interval", "constant predictor"],
        rows=rows,
        notes=[*([ON_TEST] if stamped else []), *notes],
        numeric=3,
    )


def ranks_sheet(tested: ImageResults) -> Sheet:
    """Returns the number of test images, mean absolute error and mean error of each true rank."""
    predictions = tested.predictions
    error_N = predictions.probs.astype(float) @ np.arange(predictions.num_ranks) - predictions.rank
    table = pd.DataFrame({"rank": predictions.rank, "error": error_N})
    rows = []
    for rank, name in enumerate(predictions.rank_names):
        error = table.loc[table["rank"] == rank, "error"]
        mae, bias = (float(error.abs().mean()), float(error.mean())) if len(error) else (float("nan"),) * 2
        rows.append(
            [Cell(name), Cell(f"{len(error)}", {"": len(error)}), Cell(format_number(mae)), Cell(_signed(bias))]
        )
    return Sheet(
        name="ranks",
        title="MAE by true rank, expectation",
        headings=["rank", "images", "MAE", "mean error"],
        rows=rows,
        numeric=3,
    )


def worst_sheet(run: Run, how_many: int = 8) -> Sheet:
    """Returns the test images with the largest errors, and their predictions."""
    table = pd.read_parquet(run.directory / "predictions.parquet", columns=["path", "rank", "expectation", "probs"])
    names = run.read_json("ranks.json")["names"]
    table["error"] = table["expectation"] - table["rank"]
    worst = table.reindex(table["error"].abs().sort_values(ascending=False, kind="stable").index).head(how_many)
    rows = [
        [
            Cell(row["path"]),
            Cell(str(names[row["rank"]])),
            Cell(f"{row['expectation']:.1f}", {"": row["expectation"]}),
            Cell(_signed(row["error"]), {"": row["error"]}),
            Cell(f"{row['probs'][row['rank']]:.3f}"),
        ]
        for _, row in worst.iterrows()
    ]
    return Sheet(
        name="worst",
        title=f"the {len(rows)} worst test images",
        headings=["image", "true rank", "expectation", "error", "probability of the true rank"],
        rows=rows,
        numeric=3,
    )


def _signed(value: float) -> str:
    return EMPTY if np.isnan(value) else f"{value:+.2f}"
