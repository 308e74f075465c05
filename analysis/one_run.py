"""One run in depth: its scores with intervals, where on the scale it errs, and by which images."""

import numpy as np
import pandas as pd

from analysis.compare_sheets import between, number
from analysis.sheet import EMPTY, Cell, Sheet
from analysis.tested import Tested
from ordinalclip.metrics.bootstrap import bootstrap_means, bootstrap_scores, group_index, percentile_interval
from ordinalclip.report import ON_TEST
from ordinalclip.runs import Run

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
