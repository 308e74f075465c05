"""Calibration of a run: fitted on images that selected no epoch, scored on the test split, applied to new predictions.

The temperature (Guo et al., "On calibration of modern neural networks", ICML 2017) is a softmax of logits / T, which
follows from the probabilities alone: p^(1/T), normalized. It changes no argmax. `calibration.json` has these keys:

    n, families         number of calibration images, and of their subjects, groups or blocks (null: not known)
    notes               remarks for readers of the numbers
    alpha, default      share that the default level's intervals may miss; that level's name, such as "0.9"
    temperature         of `scale`; null with `reason` for fewer than `FEWEST` images or families: fitted to three
                        blocks of ELPV it made the likelihood of the test images worse as often as better
    nll                 of the calibration images: before, after the temperature
    test_nll            of the test images: before, after
    levels              name → {threshold, expected, test}, or {threshold: null, reason}
        threshold       of `mass_before`
        expected        coverage of further images for 90 % of all draws of the calibration images, as if those of a
                        family were one image; null for too few families
        test            count, coverage, interval (Wilson, 95 %); mean_width (ranks in a set, 1 … R),
                        mean_width_value (from its lowest to its highest rank, in the unit); singletons, full (shares
                        of sets of one rank, of all ranks); by_rank: {count, coverage, interval}, [R] each

Sets are computed from the probabilities before the temperature: a temperature fitted on the same images would make
their scores less than exchangeable with those of further images, and the stated coverage rests on that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from ordinalclip.calibration.conformal import (
    coverage_range,
    interval_ends,
    mass_before,
    min_images,
    threshold_of,
    wilson_interval,
)
from ordinalclip.errors import ConfigError
from ordinalclip.scoring.predictions import Predictions

Floats = npt.NDArray[np.floating]

LIMITS = (0.05, 20.0)
_TINY = float(np.finfo(np.float32).tiny)  # what underflowed in a softmax of float32

Integers = npt.NDArray[np.integer]
LEVELS = (0.8, 0.9, 0.95)
FEWEST = 10  # images that a temperature is fitted to
FEW_FAMILIES = 30
NONE = "nothing was calibrated for these ranks"  # an old run, or an export with other ranks than its run


def scale(probs: Floats, temperature: float) -> Floats:
    """Applies a temperature to probabilities [N, R]; returns float64. Above 1, they become less confident."""
    logits = np.log(probs.astype(float).clip(min=_TINY)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probs: Floats, rank: npt.NDArray[np.integer]) -> float:
    """The temperature with the least negative log-likelihood, within `LIMITS`, of probabilities [N, R] and ranks [N].

    The likelihood is concave in 1/T, so the maximum is unique. For a model that is right about every image, or worse
    than chance, it is at infinity, and a limit is returned. 1 is returned if the temperature makes no difference.
    """
    logits = np.log(probs.astype(float).clip(min=_TINY))
    logits -= logits.max(axis=1, keepdims=True)
    true = logits[np.arange(len(rank)), rank]

    def loss(log_inverse: float) -> float:
        inverse = np.exp(log_inverse)
        return float(np.mean(np.log(np.exp(inverse * logits).sum(axis=1)) - inverse * true))

    low, high = LIMITS
    bounds = (-np.log(high), -np.log(low))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    best = min([float(found.x), *bounds], key=loss)  # bounded search never tries its ends
    return 1.0 if loss(0.0) <= loss(best) + 1e-12 else float(np.exp(-best))  # 1 if no temperature is better


def level_name(level: float) -> str:
    """Name of a level in a record: 0.9 → "0.9"."""
    return f"{round(level, 6):g}"


def calibration_record(calibration: Predictions, test: Predictions, *, alpha: float = 0.1) -> dict[str, Any]:
    """Content of calibration.json; see the module docstring for its keys.

    Args:
        calibration: predictions of N ≥ 0 images that were used neither to train nor to select an epoch.
        test: predictions of at least one test image.
        alpha: share of images that intervals of the default level may miss; 1 - alpha is added to `LEVELS`.
    """
    return score_calibration(fit_calibration(calibration, alpha=alpha), test)


def fit_calibration(calibration: Predictions, *, alpha: float = 0.1) -> dict[str, Any]:
    """The record without test scores.

    Args:
        calibration: see `calibration_record`.
        alpha: see `calibration_record`.
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
    few = f"the {num_images} calibration images are of only {families} subjects, groups or blocks of like images"
    return [f"{few}; coverage elsewhere may be further from what is stated than so many images promise"]


def _level(scores: Floats, level: float, families: int | None) -> dict[str, Any]:
    threshold = threshold_of(scores, level)
    if threshold is None:
        reason = f"{len(scores)} calibration images; this level takes at least {min_images(level)}"
        return {"threshold": None, "reason": reason}
    independent = len(scores) if families is None else families
    expected = list(coverage_range(independent, level)) if independent >= min_images(level) else None
    return {"threshold": threshold, "expected": expected}


def score_calibration(record: dict[str, Any], test: Predictions) -> dict[str, Any]:
    """Adds the scores of at least one test image to a record."""
    before = mass_before(test.probs)
    levels = {}
    for name, entry in record["levels"].items():
        threshold = entry["threshold"]
        scored = {} if threshold is None else {"test": coverage(*interval_ends(before, threshold), test)}
        levels[name] = entry | scored
    temperature = record["temperature"]
    likelihood = {} if temperature is None else {"test_nll": _before_and_after(test, temperature)}
    return record | likelihood | {"levels": levels}


def coverage_stats(record: dict[str, Any]) -> dict[str, float]:
    """Test scores of the 90 % intervals: `coverage_90`, `interval_width_90`; empty if there are no such intervals."""
    tested = record["levels"]["0.9"].get("test")
    return {} if tested is None else {"coverage_90": tested["coverage"], "interval_width_90": tested["mean_width"]}


def coverage(lower: Integers, upper: Integers, test: Predictions) -> dict[str, Any]:
    """Coverage and width of sets from lower to upper ranks [N]; see `test` in the module docstring for the keys."""
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


@dataclass(frozen=True, eq=False)
class Calibrated:
    """Calibrated predictions of N images.

    Attributes:
        probs: probabilities at the fitted temperature [N, R]; unchanged if no temperature was fitted.
        lower: lowest rank of each set [N]; None if the level has no threshold.
        upper: highest rank of each set [N], inclusive.
        level: nominal coverage.
        reason: why there are no sets; empty if there are.
    """

    probs: Floats
    lower: Integers | None
    upper: Integers | None
    level: float
    reason: str


def apply_calibration(probs: Floats, record: Mapping[str, Any] | None, level: float | None = None) -> Calibrated:
    """Calibrates the probabilities of N images and computes a set of contiguous ranks for each.

    A set contains the median rank. Other readouts may lie outside.

    Args:
        probs: uncalibrated probabilities [N, R].
        record: content of the run's calibration.json; None: not calibrated.
        level: nominal coverage, a level of the record; None: its default, which may have no sets.

    Raises:
        ConfigError: the record has no such level, or the level has no sets.
    """
    probs = np.asarray(probs)
    if record is None:
        if level is not None:
            raise ConfigError("level", level, f"there are no intervals: {NONE}", remedy="leave level out")
        return Calibrated(probs.astype(float), None, None, 0.9, NONE)
    name = record["default"] if level is None else level_name(level)
    if name not in record["levels"]:
        problem = "is not among the levels that the run was calibrated for"
        raise ConfigError("level", level, problem, allowed=", ".join(record["levels"]))
    entry, temperature = record["levels"][name], record["temperature"]
    if level is not None and entry["threshold"] is None:
        fitted = [name for name, entry in record["levels"].items() if entry["threshold"] is not None]
        problem = f"there are no such intervals: {entry['reason']}"
        raise ConfigError(
            "level", level, problem, allowed=", ".join(fitted), remedy="" if fitted else "leave level out"
        )
    scaled = probs.astype(float) if temperature is None else scale(probs, temperature)
    if entry["threshold"] is None:
        return Calibrated(scaled, None, None, float(name), entry["reason"])
    lower, upper = interval_ends(mass_before(probs), entry["threshold"])
    return Calibrated(scaled, lower, upper, float(name), "")
