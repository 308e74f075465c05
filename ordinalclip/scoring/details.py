"""Content of `test_details.json`: curves, histograms and tables, from which figures are drawn.

Undefined numbers are null. R ranks, B bins; lists are indexed by rank, threshold or bin.

    num_images, readout, unit        readout: the one that the protocol declares
    rank_names, rank_values          [R]
    readouts                         readout → {mae (ranks), mae_value (unit), bias (mean of predicted - true, ranks)}
    ranks                            of the declared readout, by true rank: count, mae, mae_value, bias: [R];
                                     absent: names of the ranks that no image has, which amae and mmae leave out
    reliability                      of the argmax: edges [B+1], count, confidence, accuracy: [B]; ece
    thresholds                       P(rank <= k), k = 0…R-2: edges [B+1]; count, predicted, observed: [R-1][B];
                                     error [R-1] (L1), bias [R-1] (mean predicted - share observed);
                                     pooled: {count, predicted, observed: [B]}; mean, max of the errors
    pit                              edges [B+1], height [B] (1 is calibrated), mean (1/2), variance (1/12);
                                     kind: not randomised (Czado, Gneiting and Held, 2009)
    risk_coverage                    risk: absolute error of the declared readout in ranks; coverage [≤100];
                                     curves: expected_error, max_prob, entropy, oracle (errors known) → {risk, aurc};
                                     full: the risk of all images, which is what a random order has at any coverage
    groups                           see `ordinalclip.scoring.subgroups.subgroups`
    intervals                        {level, draws, by: "subject, group or block" | "image", num_groups,
                                     scores: name → [low, high]}, percentile bootstrap
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ordinalclip.config.checks import READOUTS
from ordinalclip.metrics.names import ECE_BINS, THRESHOLD_BINS
from ordinalclip.metrics.per_rank import group_sums
from ordinalclip.metrics.readout import read_out
from ordinalclip.metrics.reliability import (
    calibration_bias,
    calibration_errors,
    pit_moments,
    pit_sums,
    reliability_sums,
    threshold_sums,
)
from ordinalclip.metrics.risk_coverage import CONFIDENCES, area, confidence, risk_coverage
from ordinalclip.scoring.intervals import score_intervals
from ordinalclip.scoring.predictions import Predictions
from ordinalclip.scoring.scores import ScoreInputs
from ordinalclip.scoring.subgroups import subgroups

POINTS = 100


def details(predictions: Predictions) -> dict[str, Any]:
    """The keys of the module docstring, for at least one image; only the first line if a probability is not finite."""
    names, values = list(predictions.rank_names), predictions.rank_values.tolist()
    found: dict[str, Any] = {"num_images": len(predictions), "readout": predictions.readout, "unit": predictions.unit}
    found |= {"rank_names": names, "rank_values": values}
    if not np.isfinite(predictions.probs).all():
        return found
    answers = ScoreInputs(predictions)
    found |= {
        "readouts": {readout: _errors(answers, readout) for readout in READOUTS},
        "ranks": _ranks(answers),
        "reliability": _argmax_reliability(answers),
        "thresholds": _thresholds(answers),
        "pit": _pit(answers),
        "risk_coverage": _risk_coverage(answers),
        "groups": subgroups(answers.error.numpy(), predictions),
        "intervals": score_intervals(predictions),
    }
    return jsonable(found)


def jsonable(value: Any) -> Any:
    """Converts nested tensors, arrays and tuples to lists, and nan and infinity, which JSON lacks, to None."""
    if isinstance(value, dict):
        return {key: jsonable(one) for key, one in value.items()}
    if isinstance(value, Tensor | np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [jsonable(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _signed(answers: ScoreInputs, readout: str, *, in_unit: bool = False) -> Tensor:
    """Predicted minus true [N]."""
    values = answers.values if in_unit else None
    true = answers.values[answers.rank] if in_unit else answers.rank
    return read_out(answers.probs, readout, values) - true


def _errors(answers: ScoreInputs, readout: str) -> dict[str, float]:
    in_ranks, in_unit = _signed(answers, readout), _signed(answers, readout, in_unit=True)
    return {
        "mae": float(in_ranks.abs().mean()),
        "mae_value": float(in_unit.abs().mean()),
        "bias": float(in_ranks.mean()),
    }


def _ranks(answers: ScoreInputs) -> dict[str, Any]:
    readout, num_ranks = answers.predictions.readout, len(answers.values)
    in_ranks, in_unit = _signed(answers, readout), _signed(answers, readout, in_unit=True)

    def mean(of: Tensor) -> Tensor:
        sums, counts = group_sums(of, answers.rank, num_ranks)
        return sums / counts

    count = torch.bincount(answers.rank, minlength=num_ranks)
    absent = [name for name, number in zip(answers.predictions.rank_names, count, strict=True) if number == 0]
    by_rank = {"mae": mean(in_ranks.abs()), "mae_value": mean(in_unit.abs()), "bias": mean(in_ranks)}
    return {"count": count} | by_rank | {"absent": absent}


def _edges(bins: int) -> list[float]:
    return [index / bins for index in range(bins + 1)]


def _argmax_reliability(answers: ScoreInputs) -> dict[str, Any]:
    sureness, mode = answers.probs.double().max(dim=1)
    sums = reliability_sums(sureness[:, None], (mode == answers.rank)[:, None], ECE_BINS)
    count, predicted, observed = sums[:, 0]
    return {
        "edges": _edges(ECE_BINS),
        "count": count.long(),
        "confidence": predicted / count,
        "accuracy": observed / count,
        "ece": float(calibration_errors(sums)[0]),
    }


def _thresholds(answers: ScoreInputs) -> dict[str, Any]:
    sums = threshold_sums(answers.probs, answers.rank)
    errors = calibration_errors(sums)

    def shares(count: Tensor, predicted: Tensor, observed: Tensor) -> dict[str, Tensor]:
        return {"count": count.long(), "predicted": predicted / count, "observed": observed / count}

    return {
        "edges": _edges(THRESHOLD_BINS),
        **shares(*sums),
        "error": errors,
        "bias": calibration_bias(sums),
        "pooled": shares(*sums.sum(dim=1)),
        "mean": float(errors.mean()),
        "max": float(errors.max()),
    }


def _pit(answers: ScoreInputs) -> dict[str, Any]:
    mean, variance = pit_moments(answers.probs, answers.rank)
    return {
        "kind": "not randomised",
        "edges": _edges(THRESHOLD_BINS),
        "height": pit_sums(answers.probs, answers.rank) * THRESHOLD_BINS / len(answers.rank),
        "mean": float(mean),
        "variance": float(variance),
    }


def _risk_coverage(answers: ScoreInputs) -> dict[str, Any]:
    readout, total = answers.predictions.readout, len(answers.rank)
    kept = sorted({max(1, round(total * point / POINTS)) for point in range(1, POINTS + 1)})
    sureness = {how: confidence(answers.probs, how, readout) for how in CONFIDENCES} | {"oracle": -answers.error}
    curves = {}
    for how, sure in sureness.items():
        risk = risk_coverage(answers.error, sure)
        curves[how] = {"risk": risk[[number - 1 for number in kept]], "aurc": float(area(risk))}
    coverage = [number / total for number in kept]
    return {"unit": "ranks", "coverage": coverage, "curves": curves, "full": float(answers.error.mean())}
