"""`calibration.json`: what was fitted on the calibration images, and how it did on the test images.

    n, families         calibration images, and how many subjects, groups or blocks they are of (null: not known)
    notes               what a reader of the numbers has to know
    alpha, default      share that the default level's intervals may miss; that level's name, such as "0.9"
    temperature         of `scale`; null for fewer than `FEWEST` images or families, which `reason` says then: fitted to
                        three blocks of ELPV it made the likelihood of the test images worse as often as better
    nll                 of the calibration images: before, after the temperature
    test_nll            of the test images: before, after
    levels              name → {threshold, expected, test}, or {threshold: null, reason}
        threshold       of `mass_before`
        expected        coverage of further images for 90 % of all draws of the calibration images, as if those of a
                        family were one image; null for too few families
        test            count, coverage, interval (Wilson, 95 %); mean_width (ranks in a set, 1 … R), mean_width_value
                        (from its lowest to its highest rank, in the unit); singletons, full (shares of sets of one
                        rank, of all ranks); by_rank: {count, coverage, interval}, [R] each, null without images

The sets come from the probabilities as the model gave them, not as the temperature left them: a temperature fitted on
the same images would make their scores less than exchangeable with those of further ones, and nothing else carries the
stated coverage.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ordinalclip.calibration.conformal import fewest, spread, threshold_of
from ordinalclip.calibration.growth import ends, mass_before
from ordinalclip.calibration.temperature import fit_temperature, scale
from ordinalclip.calibration.wilson import wilson_interval
from ordinalclip.predictions import Predictions

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]

LEVELS = (0.8, 0.9, 0.95)
FEWEST = 10  # images that a temperature is fitted to
FEW_FAMILIES = 30


def level_name(level: float) -> str:
    """0.9 → "0.9", as levels are called in a record."""
    return f"{round(level, 6):g}"


def calibration_record(calibration: Predictions, test: Predictions, *, alpha: float = 0.1) -> dict[str, Any]:
    """The whole record; see the module for its keys.

    Args:
        calibration: predictions of images that neither trained nor chose anything; there may be none.
        test: of at least one image.
        alpha: share that intervals of the default level may miss; a level of its own beside `LEVELS`.
    """
    return score_calibration(fit_calibration(calibration, alpha=alpha), test)


def fit_calibration(calibration: Predictions, *, alpha: float = 0.1) -> dict[str, Any]:
    """The record without its test scores.

    Args:
        calibration: predictions of images that neither trained nor chose anything; there may be none.
        alpha: share that intervals of the default level may miss; a level of its own beside `LEVELS`.
    """
    num_images, default = len(calibration), level_name(1 - alpha)
    families = None if calibration.family is None else len(np.unique(calibration.family))
    levels = dict(sorted({level_name(level): level for level in (*LEVELS, float(default))}.items()))
    record: dict[str, Any] = {
        "n": num_images,
        "families": families,
        "notes": _notes(num_images, families),
        "alpha": alpha,
        "default": default,
        "temperature": None,
    }
    independent = num_images if families is None else families
    if independent < FEWEST:
        of = "" if families is None else f" of {families} subjects, groups or blocks"
        record["reason"] = f"{num_images} calibration images{of}; a temperature takes at least {FEWEST}"
    else:
        record["temperature"] = temperature = fit_temperature(calibration.probs, calibration.rank)
        record["nll"] = _before_and_after(calibration, temperature)
    scores = mass_before(calibration.probs)[np.arange(num_images), calibration.rank]
    record["levels"] = {name: _level(scores, level, families) for name, level in levels.items()}
    return record


def _notes(num_images: int, families: int | None) -> list[str]:
    if families is None or families >= FEW_FAMILIES or num_images == 0:
        return []
    told = f"the {num_images} calibration images are of only {families} subjects, groups or blocks of like images"
    return [f"{told}; coverage elsewhere may be further from what is stated than so many images promise"]


def _level(scores: Floats, level: float, families: int | None) -> dict[str, Any]:
    threshold = threshold_of(scores, level)
    if threshold is None:
        reason = f"{len(scores)} calibration images; this level takes at least {fewest(level)}"
        return {"threshold": None, "reason": reason}
    independent = len(scores) if families is None else families
    expected = list(spread(independent, level)) if independent >= fewest(level) else None
    return {"threshold": threshold, "expected": expected}


def score_calibration(record: dict[str, Any], test: Predictions) -> dict[str, Any]:
    """The record with its test scores, of at least one image."""
    before = mass_before(test.probs)
    levels = {}
    for name, entry in record["levels"].items():
        threshold = entry["threshold"]
        scored = {} if threshold is None else {"test": coverage(*ends(before, threshold), test)}
        levels[name] = entry | scored
    temperature = record["temperature"]
    likelihood = {} if temperature is None else {"test_nll": _before_and_after(test, temperature)}
    return record | likelihood | {"levels": levels}


def stats_of(record: dict[str, Any]) -> dict[str, float]:
    """What a run's test scores say of its 90 % intervals: `coverage_90`, `interval_width_90`; none without them."""
    tested = record["levels"]["0.9"].get("test")
    return {} if tested is None else {"coverage_90": tested["coverage"], "interval_width_90": tested["mean_width"]}


def coverage(lower: Integers, upper: Integers, test: Predictions) -> dict[str, Any]:
    """How often sets from lower to upper ranks [N] hold the true rank, and how wide they are; see the record's keys."""
    covered = (lower <= test.rank) & (test.rank <= upper)
    width = upper - lower + 1
    counts = np.bincount(test.rank, minlength=test.num_ranks)
    hits = np.bincount(test.rank[covered], minlength=test.num_ranks)
    pairs = [(int(hit), int(count)) for hit, count in zip(hits, counts, strict=True)]
    return {
        "count": len(test),
        "coverage": float(covered.mean()),
        "interval": list(wilson_interval(int(covered.sum()), len(test))),
        "mean_width": float(width.mean()),
        "mean_width_value": float(np.abs(test.rank_values[upper] - test.rank_values[lower]).mean()),
        "singletons": float((width == 1).mean()),
        "full": float((width == test.num_ranks).mean()),
        "by_rank": {
            "count": counts.tolist(),
            "coverage": [hit / count if count else None for hit, count in pairs],
            "interval": [list(wilson_interval(hit, count)) if count else None for hit, count in pairs],
        },
    }


def _before_and_after(predictions: Predictions, temperature: float) -> dict[str, float]:
    rows = np.arange(len(predictions))
    given, scaled = scale(predictions.probs, 1.0), scale(predictions.probs, temperature)
    before, after = (float(-np.log(probs[rows, predictions.rank]).mean()) for probs in (given, scaled))
    return {"before": before, "after": after}
