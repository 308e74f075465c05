"""`python -m ordinalclip.evaluate run=… metrics=…`: any score from the probabilities in a run's record.

No model is built and no image read. What was typed is checked before torch is imported, which only computes here.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ordinalclip.command import settings_here
from ordinalclip.errors import ConfigError
from ordinalclip.find_run import check_finished
from ordinalclip.inference.naming import name_run
from ordinalclip.metrics.names import SCORES, THRESHOLD_SCORES, checked_names, threshold_of
from ordinalclip.predictions import Predictions, read_predictions
from ordinalclip.report import ON_TEST

_KEYS = ("run", "metrics", "split", "paths.runs")
_SPLITS = ("test", "val", "calibration")
_WIDTH = 96


def evaluate_table(typed: Mapping[str, str]) -> dict[str, float]:
    """Prints the scores that were asked for, with the bootstrap intervals of those that have one.

    Args:
        typed: `run`, `metrics` (names separated by commas, or all), perhaps `split` and `paths.runs`.

    Returns:
        By name, without the split.

    Raises:
        ConfigError: for anything else, or a name that is none.
        DataError: the run's record has no predictions of the split.
    """
    for key, value in typed.items():
        if key not in _KEYS:
            problem = "does not go with metrics=, which computes from the run's own predictions"
            raise ConfigError(key, value, problem, allowed=", ".join(_KEYS))
    split = typed.get("split", "test")
    if split not in _SPLITS:
        raise ConfigError("split", split, "has no predictions in a record", allowed=", ".join(_SPLITS))
    words = [word for word in typed["metrics"].strip("[]").replace(" ", "").split(",") if word]
    names = checked_names(words) if words else checked_names(["all"])
    here = settings_here(typed)
    run = name_run(typed["run"], Path(here["paths"]["runs"]), here["tracking"])
    check_finished(run, "run")
    predictions = read_predictions(run, split)

    from ordinalclip.metrics.scores import compute_scores, default_names, lacks

    if "all" in words or not words:
        names = [name for name in dict.fromkeys([*names, *default_names(predictions)]) if not lacks(name, predictions)]
    found = compute_scores(predictions, names)
    reasons = {name: lacks(name, predictions) for name in names}
    _show(f"{run.directory.name}: {len(predictions):,} {split} images", predictions, found, reasons)
    if (run.read_json("labels.json") or {}).get("selected_on") == "test":
        print(ON_TEST)
    return found


def _show(title: str, predictions: Predictions, found: Mapping[str, float], reasons: Mapping[str, str]) -> None:
    from ordinalclip.metrics.score_intervals import score_intervals

    intervals: dict[str, Any] = score_intervals(predictions)
    table = Table("", "score", "95 % interval", "", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[1].justify = "right"
    for name, value in found.items():
        low, high = intervals["scores"].get(name, (math.nan, math.nan))
        ends = "" if math.isnan(low) else f"{low:.3f} … {high:.3f}"
        table.add_row(name, "–" if math.isnan(value) else f"{value:.4f}", ends, reasons[name] or _meaning(name))
    console = Console()
    console.width = max(console.width, _WIDTH)
    console.print(title, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    console.out("\n".join(line.rstrip() for line in captured.get().strip("\n").splitlines()), highlight=False)
    drawn = f"{intervals['draws']:,} draws of {intervals['num_groups']:,}"
    kind = "images" if predictions.family is None else "subjects, groups or blocks"
    unit = f"; unit: {predictions.unit}" if predictions.unit else ""
    console.print(f"readout: {predictions.readout}{unit}; intervals: bootstrap, {drawn} {kind}", highlight=False)


def _meaning(name: str) -> str:
    family, at = threshold_of(name)
    if name in SCORES or family is None:
        return SCORES[name]
    return THRESHOLD_SCORES[family].format(f"{at:g}")
