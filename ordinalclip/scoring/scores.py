"""`compute_scores`: scores of recorded predictions by name; needs neither the model nor the images."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ordinalclip.metrics.collection import rank_metrics
from ordinalclip.metrics.correlation import kendall
from ordinalclip.metrics.epsilon_error import EpsilonError
from ordinalclip.metrics.names import CS_OF_YEARS, SCORES, threshold_name, threshold_of
from ordinalclip.metrics.per_rank import macro_mean, rank_means, worst_mean
from ordinalclip.metrics.proper_scores import brier_scores, negative_log_likelihoods
from ordinalclip.metrics.readout import argmax, expectation, read_out
from ordinalclip.metrics.reliability import calibration_errors, pit_moments, threshold_sums
from ordinalclip.metrics.risk_coverage import area, confidence, risk_coverage
from ordinalclip.metrics.unimodality import unimodal
from ordinalclip.metrics.within import accuracy_within
from ordinalclip.scoring.predictions import Predictions
from ordinalclip.scoring.subgroups import subgroups


@dataclass(eq=False)
class ScoreInputs:
    """Predictions as tensors, and cached quantities that several scores share.

    Attributes:
        predictions: predictions of N images.
    """

    predictions: Predictions

    @cached_property
    def probs(self) -> Tensor:
        """Probabilities [N, R], float32."""
        return torch.from_numpy(np.asarray(self.predictions.probs, dtype=np.float32))

    @cached_property
    def rank(self) -> Tensor:
        """True ranks [N]."""
        return torch.from_numpy(np.array(self.predictions.rank, dtype=np.int64))

    @cached_property
    def values(self) -> Tensor:
        """The value of each rank [R]."""
        return torch.from_numpy(np.array(self.predictions.rank_values, dtype=float))

    @cached_property
    def error(self) -> Tensor:
        """Absolute error in ranks [N] of the protocol's readout."""
        return (read_out(self.probs, self.predictions.readout) - self.rank).abs()

    @cached_property
    def of_every_epoch(self) -> dict[str, float]:
        """Scores that are also computed after every epoch; see `rank_metrics`."""
        return {name: float(value) for name, value in rank_metrics(self.probs, self.rank, self.values).items()}

    @cached_property
    def by_rank(self) -> Tensor:
        """Mean of `error` over the images of each rank [R]."""
        return rank_means(self.error, self.rank, len(self.values))

    @cached_property
    def threshold_errors(self) -> Tensor:
        """Threshold calibration errors [R-1]."""
        return calibration_errors(threshold_sums(self.probs, self.rank))


def why_missing(name: str, predictions: Predictions) -> str:
    """Why a score cannot be computed; empty if it can."""
    if name == "epsilon_error" and predictions.deviation is None:
        return "the data have no annotators' deviation"
    if name == "worst_group_mae" and not predictions.attributes:
        return "the data have no attributes"
    return ""


def default_score_names(predictions: Predictions) -> list[str]:
    """All of `SCORES` that can be computed, and CS@5 of the age literature if the unit is a year."""
    years = [threshold_name("cs", CS_OF_YEARS)] if predictions.unit in ("year", "years") else []
    return [name for name in (*SCORES, *years) if not why_missing(name, predictions)]


def compute_scores(predictions: Predictions, names: Iterable[str] | None = None) -> dict[str, float]:
    """Scores of at least one image.

    Args:
        predictions: predictions of N images. If a probability is not finite, every score is nan.
        names: from `names.parse_score_names`; None: `default_score_names`.

    Returns:
        Scores by name; nan if `why_missing` returns a reason.
    """
    wanted = default_score_names(predictions) if names is None else list(names)
    if not np.isfinite(predictions.probs).all():
        return dict.fromkeys(wanted, math.nan)
    answers = ScoreInputs(predictions)
    return {name: math.nan if why_missing(name, predictions) else _compute(name, answers) for name in wanted}


def _compute(name: str, answers: ScoreInputs) -> float:
    family, at = threshold_of(name)
    if name in _FUNCTIONS:
        return float(_FUNCTIONS[name](answers))
    if name in answers.of_every_epoch:
        return answers.of_every_epoch[name]
    if family is None or at is None:
        raise KeyError(name)
    if family == "accuracy_within":
        return float(accuracy_within(argmax(answers.probs), answers.rank, at))
    return float(accuracy_within(_value(answers), answers.values[answers.rank], at))


def _value(answers: ScoreInputs, readout: str | None = None) -> Tensor:
    return read_out(answers.probs, readout or answers.predictions.readout, answers.values)


def _mae_value(readout: str) -> Callable[[ScoreInputs], Tensor]:
    return lambda answers: (_value(answers, readout) - answers.values[answers.rank]).abs().mean()


def _worst_group(answers: ScoreInputs) -> float:
    worst = subgroups(answers.error.numpy(), answers.predictions)["worst"]
    return math.nan if worst is None else worst["mae"]


def _aurc(answers: ScoreInputs) -> Tensor:
    sureness = confidence(answers.probs, "expected_error", answers.predictions.readout)
    return area(risk_coverage(answers.error, sureness))


def _epsilon(answers: ScoreInputs) -> Tensor:
    metric = EpsilonError()
    labels, deviation = answers.predictions.labels, answers.predictions.deviation
    metric.update(_value(answers), torch.from_numpy(np.array(labels)), torch.from_numpy(np.array(deviation)))
    return metric.compute()


_FUNCTIONS: dict[str, Callable[[ScoreInputs], Tensor | float]] = {
    "mae_value_argmax": _mae_value("argmax"),
    "mae_value_median": _mae_value("median"),
    "mae_value_rounded_expectation": _mae_value("rounded_expectation"),
    "amae": lambda answers: macro_mean(answers.by_rank),
    "mmae": lambda answers: worst_mean(answers.by_rank),
    "worst_group_mae": _worst_group,
    "kendall": lambda answers: kendall(expectation(answers.probs), answers.rank),
    "nll": lambda answers: negative_log_likelihoods(answers.probs, answers.rank).mean(),
    "brier": lambda answers: brier_scores(answers.probs, answers.rank).mean(),
    "tce": lambda answers: answers.threshold_errors.mean(),
    "tce_max": lambda answers: answers.threshold_errors.max(),
    "pit_mean": lambda answers: pit_moments(answers.probs, answers.rank)[0],
    "pit_variance": lambda answers: pit_moments(answers.probs, answers.rank)[1],
    "unimodality": lambda answers: unimodal(answers.probs).double().mean(),
    "aurc": _aurc,
    "epsilon_error": _epsilon,
}
