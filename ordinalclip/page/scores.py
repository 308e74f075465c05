"""The scores that a page tells, each beside the constant predictor's, with what it means."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Told:
    """A row of the table of scores: words, ready to be shown."""

    heading: str
    value: str
    interval: str
    constant: str
    meaning: str
    primary: bool = False


# name, heading, its constant's name, percent, what it means
_ROWS = (
    ("mae", "MAE, expectation", "mae", False, "mean distance from the true rank, in ranks; 0 is best"),
    ("mae_argmax", "MAE, most probable rank", "mae", False, "the same of the most probable rank"),
    ("mae_median", "MAE, median", "mae", False, "the same of the distribution's median"),
    (
        "mae_rounded_expectation",
        "MAE, rounded expectation",
        "mae",
        False,
        "the same of the expectation, rounded",
    ),
    ("mae_value", "MAE in {unit}", "mae_value", False, "the expectation's mean distance in the data set's own unit"),
    ("amae", "macro MAE", None, False, "the ranks' MAEs averaged: every rank counts the same, however rare"),
    ("mmae", "worst rank's MAE", None, False, "the largest MAE of any rank"),
    ("accuracy", "accuracy", "accuracy", True, "share of images whose most probable rank is the true one"),
    ("accuracy_within_1", "within one rank", "accuracy_within_1", True, "share at most one rank off"),
    ("cs_5", "within 5 {unit}", None, True, "cumulative score: share at most 5 units off"),
    ("qwk", "QWK", "qwk", False, "quadratic weighted kappa: agreement beyond chance, 1 is perfect"),
    ("spearman", "Spearman", "spearman", False, "rank correlation of expectation and truth"),
    ("rps", "RPS", None, False, "ranked probability score of the whole distribution; 0 is best"),
    ("tce", "threshold calibration error", None, False, "how far P(rank ≤ k) is from how often it is true"),
    ("aurc", "AURC", None, False, "area under risk–coverage: MAE when the surest are kept, averaged over how many"),
)


def told_scores(
    stats: Mapping[str, Any], details: Mapping[str, Any], *, readout: str, unit: str, split: str = "test"
) -> list[Told]:
    """Rows of the scores that are there, the declared readout's MAE first.

    Args:
        stats: content of test_stats.json.
        details: content of test_details.json, for the intervals; may be empty.
        readout: that the protocol declares.
        unit: of the ranks' values.
        split: what stands before the slash of the names in `stats`.
    """
    primary = "mae" if readout == "expectation" else f"mae_{readout}"
    intervals = (details.get("intervals") or {}).get("scores", {})
    rows = []
    for name, heading, constant, percent, meaning in _ROWS:
        value = stats.get(f"{split}/{name}")
        if value is None:
            continue
        low, high = intervals.get(name) or (None, None)
        interval = "" if low is None or high is None else f"{_number(low, percent)} … {_number(high, percent)}"
        beside = stats.get(f"{split}/constant_{constant}")
        shown = heading.format(unit=unit or "units")
        rows.append(
            Told(shown, _number(value, percent), interval, _number(beside, percent), meaning, primary=name == primary)
        )
    return sorted(rows, key=lambda row: not row.primary)


def number(value: float | None, digits: int = 3) -> str:
    """A number as it is shown, a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _number(value: float | None, percent: bool) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{100 * value:.1f} %" if percent else f"{value:.3f}"
