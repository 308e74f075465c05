"""One run in depth: its scores with intervals, where on the scale it errs, and by which images."""

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Image, Markdown, display
from PIL import Image as Pillow

from analysis.choose import RUN_WORDS, choose_runs, read_words, runs_root
from analysis.comparison import between, number
from analysis.groups import shown
from analysis.sheets import EMPTY, Cell, Sheet, to_markdown
from analysis.tested import Tested
from ordinalclip.config.compose import conf_dir
from ordinalclip.report.gallery import draw_figures, has_figures
from ordinalclip.report.tables import ON_TEST
from ordinalclip.runs.run import Run
from ordinalclip.scoring.intervals import bootstrap_means, bootstrap_scores, group_index, percentile_interval

_SHOWN = ("mae", "mae_value", "mae_argmax", "accuracy", "accuracy_within_1", "qwk", "spearman", "rps", "nll", "brier")
_DRAWS = 1000


def scores_sheet(run: Run, tested: Tested, level: float = 0.95) -> Sheet:
    """Test scores, each with a bootstrap interval over subjects and beside the constant predictor's."""
    stats = run.read_json("test_stats.json") or {}
    subject, num_images = tested.subject, len(tested.images)
    num_groups = group_index(subject, num_images)[1]
    rows = []
    for name in _SHOWN:
        if f"test/{name}" not in stats:
            continue
        scores, weighted = tested.scores(name), tested.weighted(name)
        draws = np.array([])
        if scores is not None:
            draws = bootstrap_means(scores, subject, draws=_DRAWS)
        elif weighted is not None:
            draws = bootstrap_scores(weighted, subject, num_images, draws=_DRAWS // 4)
        found = percentile_interval(draws, num_groups, level)
        constant = stats.get(f"test/constant_{name}")
        rows.append(
            [
                Cell(name),
                Cell(number(stats[f"test/{name}"]), {"": stats[f"test/{name}"]}),
                Cell(between(found.low, found.high), {"low": found.low, "high": found.high}),
                Cell(EMPTY if constant is None else number(constant), {"": constant}),
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


def ranks_sheet(tested: Tested) -> Sheet:
    """Of every true rank: how many test images, their mean absolute error and in which direction they err."""
    predictions = tested.predictions
    error_N = predictions.probs.astype(float) @ np.arange(predictions.num_ranks) - predictions.rank
    table = pd.DataFrame({"rank": predictions.rank, "error": error_N})
    rows = []
    for rank, name in enumerate(predictions.rank_names):
        error = table.loc[table["rank"] == rank, "error"]
        mae, bias = (float(error.abs().mean()), float(error.mean())) if len(error) else (float("nan"),) * 2
        rows.append([Cell(name), Cell(f"{len(error)}", {"": len(error)}), Cell(number(mae)), Cell(_signed(bias))])
    return Sheet(
        name="ranks",
        title="MAE by true rank, expectation",
        headings=["rank", "images", "MAE", "mean error"],
        rows=rows,
        numeric=3,
    )


def worst_sheet(run: Run, how_many: int = 8) -> Sheet:
    """The test images with the largest errors, with what was said of them."""
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


# MERGED: """What the notebooks have in common: runs by the words of the command line, tables and pictures in the page."""


_WIDTH = 640  # pixels of a picture


def chosen(*words: str) -> pd.DataFrame:
    """The table of the runs that words choose, as `python -m analysis.compare` takes them.

    Args:
        words: such as "sweep=few_shot", "dataset=gauge"; without runs= or store= the folder of the runs is that of
            `paths.runs`, or `runs` at the top of the checkout, since a notebook lies below it.
    """
    typed, root = read_words(words), runs_root()
    if not root.is_dir():
        root = conf_dir().parent / root
    filters = {key: value for key, value in typed.items() if key not in RUN_WORDS}
    return choose_runs({key: typed[key] for key in RUN_WORDS if key in typed}, filters, root)


def show(*sheets: Sheet) -> None:
    """Shows tables."""
    for sheet in sheets:
        display(Markdown(to_markdown(sheet)))


def runs_sheet(frame: pd.DataFrame, columns: Sequence[str]) -> Sheet:
    """Some columns of the table of runs as a table to read."""
    rows = [[_cell(run.get(column)) for column in columns] for _, run in frame.iterrows()]
    return Sheet("runs", "1 run" if len(frame) == 1 else f"{len(frame)} runs", columns, rows)


def picture(draw: Callable[..., tuple[Path, Path]], *arguments: Any) -> Image:
    """A picture by one of the functions that draw into a file.

    Args:
        draw: called with the arguments and where to draw, without a suffix; returns the PNG's path first.
        arguments: of `draw`.
    """
    with TemporaryDirectory() as folder:
        return small(draw(*arguments, Path(folder) / "figure")[0])


def small(file: Path) -> Image:
    """A picture from a file, no wider than a page."""
    with Pillow.open(file) as opened:
        ratio = min(1.0, _WIDTH / opened.width)
        smaller = opened.convert("RGB").resize((round(opened.width * ratio), round(opened.height * ratio)))
        bytes_ = BytesIO()
        smaller.quantize(256).save(bytes_, "PNG", optimize=True)
    return Image(bytes_.getvalue())


def figures_of(run: Run, *names: str) -> None:
    """Shows figures of a run's record, drawn where nobody has looked yet; those that it has not are passed over."""
    if not has_figures(run):
        draw_figures(run, run.read_json("ranks.json")["names"])
    for name in names:
        file = run.directory / "figures" / f"{name}.png"
        if file.is_file():
            display(small(file))


def _cell(value: Any) -> Cell:
    if value is None or value is pd.NA or value != value:
        return Cell(EMPTY)
    return Cell(number(value)) if isinstance(value, float) else Cell(shown(value))
