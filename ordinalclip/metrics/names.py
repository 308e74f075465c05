"""Names and descriptions of all scores, and the bins of calibration errors. Imports no torch."""

import re
from collections.abc import Sequence

from ordinalclip.errors import ConfigError, did_you_mean

MIN_COUNT = 30  # images of a subgroup that is scored: the worst of many small groups is chance
ECE_BINS = 15  # equally wide bins of 0…1 for the calibration of the argmax
THRESHOLD_BINS = 10  # for the calibration of P(rank <= k), and for the PIT histogram

# Name → description, in the order of tables; "readout" is the readout of the protocol.
SCORES = {
    "mae": "MAE in ranks, expectation",
    "mae_argmax": "MAE in ranks, argmax",
    "mae_median": "MAE in ranks, median",
    "mae_rounded_expectation": "MAE in ranks, rounded expectation",
    "mae_value": "MAE in the unit, expectation",
    "mae_value_argmax": "MAE in the unit, argmax",
    "mae_value_median": "MAE in the unit, median",
    "mae_value_rounded_expectation": "MAE in the unit, rounded expectation",
    "amae": "mean over ranks of their MAE, readout",
    "mmae": "MAE of the worst rank, readout",
    "worst_group_mae": "MAE of the worst subgroup, readout",
    "accuracy": "share of right ranks, argmax",
    "accuracy_expectation": "share of right ranks, rounded expectation",
    "accuracy_within_1": "share at most 1 rank off, argmax",
    "qwk": "quadratic weighted kappa, argmax",
    "spearman": "rank correlation, expectation",
    "kendall": "Kendall's tau-b, expectation",
    "rps": "ranked probability score / (R-1)",
    "nll": "negative log-likelihood in nats",
    "brier": "Brier score over all ranks, 0 … 2",
    "ece": "calibration error of the argmax",
    "tce": "calibration error of P(y <= k), mean of k",
    "tce_max": "calibration error of P(y <= k), worst k",
    "pit_mean": "mean of the PIT; unbiased: 0.5",
    "pit_variance": "variance of the PIT; too sure: > 0.083",
    "unimodality": "share of predictions with one mode",
    "aurc": "area under risk-coverage, readout",
    "epsilon_error": "CLAP's error by annotators, readout",
}
# Scores with a threshold: `cs@5` is named `cs_5` in a record, since MLflow allows no @ in names.
THRESHOLD_SCORES = {
    "cs": "share at most {} units off, readout",
    "accuracy_within": "share at most {} ranks off, argmax",
}

# Test scores that are logged to MLflow; with ordinality, coverage and leakage about 25 names. All scores are in
# test_stats.json and test_details.json.
SHOWN = (
    "mae",
    "mae_value",
    "mae_argmax",
    "mae_median",
    "mae_seen",
    "mae_unseen",
    "amae",
    "mmae",
    "worst_group_mae",
    "accuracy",
    "accuracy_within_1",
    "qwk",
    "spearman",
    "rps",
    "nll",
    "ece",
    "tce",
    "aurc",
    "cs_5",
    "epsilon_error",
    "coverage_90",
    "interval_width_90",
)
CS_OF_YEARS = 5.0  # the age papers' threshold, reported where the unit is a year


def shown(name: str, readout: str) -> bool:
    """Whether a test score, named without its split, is logged to MLflow."""
    return name in SHOWN or name in (f"mae_{readout}", f"mae_value_{readout}")


def parse_score_names(words: Sequence[str]) -> list[str]:
    """Checks score names from a command line; `all` is replaced by all of `SCORES`.

    Raises:
        ConfigError: there is no such score, or its threshold is missing.
    """
    found: list[str] = []
    for word in words:
        if word == "all":
            found += SCORES
        elif word in SCORES:
            found.append(word)
        else:
            name, at = threshold_of(word)
            if name is None or at is None:
                allowed = f"{', '.join(SCORES)}, {', '.join(f'{name}@5' for name in THRESHOLD_SCORES)}, all"
                remedy = did_you_mean(word.partition("@")[0], [*SCORES, *THRESHOLD_SCORES])
                raise ConfigError("metrics", word, "there is no such metric", allowed=allowed, remedy=remedy)
            found.append(threshold_name(name, at))
    return list(dict.fromkeys(found))


def threshold_of(word: str) -> tuple[str | None, float | None]:
    """`cs@5`, or `cs_5` as a record has it → ("cs", 5.0); (None, None) for anything else."""
    match = re.fullmatch(rf"({'|'.join(THRESHOLD_SCORES)})[@_](\d+(?:\.\d+)?)", word)
    return (match[1], float(match[2])) if match else (None, None)


def threshold_name(name: str, at: float) -> str:
    """("cs", 5.0) → `cs_5`."""
    return f"{name}_{at:g}"
