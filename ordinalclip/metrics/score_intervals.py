"""Intervals of one run's scores over its images, drawn by subject where there is one. Needs no torch.

They say how far the scores depend on which images were tested, not on the seed or the training images.
"""

from typing import Any

import numpy as np

from ordinalclip.metrics.bootstrap import bootstrap_means, bootstrap_scores, group_index, percentile_interval
from ordinalclip.metrics.per_image import per_image, readouts
from ordinalclip.metrics.weighted import weighted_kappa, weighted_macro_mean
from ordinalclip.predictions import Predictions

LEVEL, DRAWS = 0.95, 1000


def score_intervals(
    predictions: Predictions, *, level: float = LEVEL, draws: int = DRAWS, seed: int = 0
) -> dict[str, Any]:
    """Percentile bootstrap intervals of all scores that are means of images, and of `qwk` and `amae`.

    Args:
        predictions: of N images.
        level: nominal coverage.
        draws: resampled sets of images.
        seed: of the draws.

    Returns:
        `level`, `draws`, `by`, `num_groups`, and `scores`: name → [low, high], nan for fewer than two groups.
    """
    num_images, rank, num_ranks = len(predictions), predictions.rank, predictions.num_ranks
    num_groups = group_index(predictions.family, num_images)[1]
    images = per_image(predictions)
    means = bootstrap_means(np.stack(list(images.values()), axis=1), predictions.family, draws=draws, seed=seed)
    drawn = dict(zip(images, means.T, strict=True))
    answers = readouts(predictions.probs)
    error, mode = np.abs(answers[predictions.readout] - rank), answers["argmax"].astype(int)
    for name, score in {
        "qwk": lambda weights: weighted_kappa(rank, mode, weights, num_ranks),
        "amae": lambda weights: weighted_macro_mean(error, rank, weights, num_ranks),
    }.items():
        drawn[name] = bootstrap_scores(score, predictions.family, num_images, draws=draws, seed=seed)
    found = {name: percentile_interval(values, num_groups, level) for name, values in drawn.items()}
    return {
        "level": level,
        "draws": draws,
        "by": "image" if predictions.family is None else "subject, group or block",
        "num_groups": num_groups,
        "scores": {name: [interval.low, interval.high] for name, interval in found.items()},
    }
