"""Intervals of one run's scores over its images, drawn by subject where there is one. Needs no torch.

They say how far the scores depend on which images were tested, not on the seed or the training images.
"""

from typing import Any

import numpy as np

from ordinalclip.metrics.bootstrap import bootstrap_means, bootstrap_scores, group_index, percentile_interval
from ordinalclip.metrics.per_image import per_image
from ordinalclip.metrics.weighted_scores import weighted_score
from ordinalclip.predictions import Predictions

LEVEL, DRAWS = 0.95, 1000
# Largest means and calibration errors are left out: of resampled images they are larger than of the images themselves.
_NO_MEANS = ("qwk", "amae", "spearman", "aurc")


def score_intervals(
    predictions: Predictions, *, level: float = LEVEL, draws: int = DRAWS, seed: int = 0
) -> dict[str, Any]:
    """Percentile bootstrap intervals of all scores that are means of images, and of a few that are not.

    Args:
        predictions: of N images.
        level: nominal coverage.
        draws: resampled sets of images.
        seed: of the draws.

    Returns:
        `level`, `draws`, `by`, `num_groups`, and `scores`: name → [low, high], nan for fewer than two groups.
    """
    num_images = len(predictions)
    num_groups = group_index(predictions.family, num_images)[1]
    images = per_image(predictions)
    means = bootstrap_means(np.stack(list(images.values()), axis=1), predictions.family, draws=draws, seed=seed)
    drawn = dict(zip(images, means.T, strict=True))
    for name in _NO_MEANS:
        score = weighted_score(name, predictions)
        assert score is not None
        drawn[name] = bootstrap_scores(score, predictions.family, num_images, draws=draws, seed=seed)
    found = {name: percentile_interval(values, num_groups, level) for name, values in drawn.items()}
    return {
        "level": level,
        "draws": draws,
        "by": "image" if predictions.family is None else "subject, group or block",
        "num_groups": num_groups,
        "scores": {name: [interval.low, interval.high] for name, interval in found.items()},
    }
