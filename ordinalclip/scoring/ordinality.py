"""Ordinality scores of rank features, and those of a run from its record. Imports no torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from ordinalclip.errors import DataError
from ordinalclip.metrics.ordinality import REFERENCE_RANKS, REFERENCE_SLICE, Features, Matrix, ordinality
from ordinalclip.runs.run import Run

STAGES = ("before", "best")  # training; the epoch that was kept
_STORED = {"before": "before", "best": "rank_features"}


def ordinality_of_features(stages: Mapping[str, Features]) -> dict[str, Any]:
    """The content of a run's ordinality.json: every score of rank features [R, D], by stage.

    If R is 101, the reference's slice of the ranks is scored as well, as `reference_slice`.
    """
    record: dict[str, Any] = {}
    for stage, features_RD in stages.items():
        record[stage] = asdict(ordinality(features_RD))
        if len(np.asarray(features_RD)) == REFERENCE_RANKS:
            first, last = REFERENCE_SLICE
            scores = asdict(ordinality(features_RD, REFERENCE_SLICE))
            record[stage]["reference_slice"] = {"first": first, "last": last - 1} | scores
    return record


def rank_features_of(run: Run) -> dict[str, Matrix]:
    """Rank features [R, D] of a run by stage; `before` is missing in imported runs.

    Raises:
        DataError: the run has no rank features yet, or their file is damaged.
    """
    path = run.directory / "rank_features.safetensors"
    try:
        stored = load_file(path)
    except Exception as error:  # safetensors raises errors of its own
        remedy = "the run is not finished, or its record is damaged: type its command again"
        raise DataError(f"{path}: no rank features can be read ({error})\n  what to do: {remedy}") from None
    return {stage: stored[_STORED[stage]] for stage in STAGES if _STORED[stage] in stored}


def ordinality_of_run(run: Run, ranks: Sequence[int] | None = None) -> pd.DataFrame:
    """All scores of a run's rank features, computed anew, so that a run by an older version has them, too.

    Args:
        run: with rank features.
        ranks: score ranks first…last-1 alone, such as (15, 76) [OrdinalCLIP, its script]; None: all.

    Returns:
        A row a stage (`before` training, `best` epoch) with the columns `stage`, `num_ranks`, `score`, `score_chance`,
        `adjusted`, `kendall`, `kendall_largest`, `off_diagonal`, `neighbours_out_of_order` (how many), and `span_<s>`
        and `span_<s>_chance` for every span s.

    Raises:
        DataError: the run has no rank features.
        ConfigError: `ranks` is no slice of them.
    """
    rows = []
    for stage, features_RD in rank_features_of(run).items():
        found = ordinality(features_RD, ranks)
        row: dict[str, Any] = {
            "stage": stage,
            "num_ranks": len(features_RD) if ranks is None else ranks[1] - ranks[0],
            "score": found.score,
            "score_chance": found.score_chance,
            "adjusted": found.adjusted,
            "kendall": found.kendall,
            "kendall_largest": found.kendall_largest,
            "off_diagonal": found.off_diagonal,
            "neighbours_out_of_order": len(found.out_of_order),
        }
        for span, score in found.spans.items():
            row |= {f"span_{span}": score, f"span_{span}_chance": found.span_chances[span]}
        rows.append(row)
    return pd.DataFrame(rows)


def logged_ordinality(scores: Mapping[str, Any]) -> dict[str, float]:
    """The scores of a stage that are logged, by their logged names; undefined scores are left out."""
    names = {"ordinality": "score", "ordinality_adjusted": "adjusted", "ordinality_kendall": "kendall"}
    return {name: scores[key] for name, key in names.items() if math.isfinite(scores[key])}
