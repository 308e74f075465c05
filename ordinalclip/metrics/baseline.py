"""What a predictor scores that has seen only the training ranks: one constant answer. Needs no torch."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ranks = Sequence[int] | npt.NDArray[np.integer]


def constant_baseline(train_rank: Ranks, rank: Ranks, rank_values: Sequence[float]) -> dict[str, float]:
    """The constant predictor's metrics, by the names of `RankMetrics` where a constant has them.

    Errors are those of the training split's median rank (the lower of two), which no constant beats in the training
    split; accuracies those of its most frequent rank (the lowest of several). A constant agrees with nothing beyond
    chance: `qwk` and `spearman` are 0.

    Args:
        train_rank: ranks of the training split.
        rank: ranks to predict, of the validation or test split.
        rank_values: what each rank stands for, R numbers.

    Returns:
        `mae`, `mae_value`, `accuracy`, `accuracy_within_1`, `qwk`, `spearman`, and the two constants `median_rank` and
        `majority_rank`. Means over no images are nan.

    Raises:
        ValueError: the training split is empty.
    """
    train, true = np.asarray(train_rank, dtype=np.int64), np.asarray(rank, dtype=np.int64)
    values = np.asarray(rank_values, dtype=np.float64)
    if train.size == 0:
        raise ValueError("the constant predictor needs training ranks")
    median = int(np.sort(train)[(train.size - 1) // 2])
    majority = int(np.bincount(train, minlength=len(values)).argmax())
    return {
        "mae": _mean(np.abs(true - median)),
        "mae_value": _mean(np.abs(values[true] - values[median])),
        "accuracy": _mean(true == majority),
        "accuracy_within_1": _mean(np.abs(true - majority) <= 1),
        "qwk": 0.0,
        "spearman": 0.0,
        "median_rank": float(median),
        "majority_rank": float(majority),
    }


def _mean(numbers: npt.NDArray[np.number | np.bool_]) -> float:
    return float(numbers.mean()) if numbers.size > 0 else float("nan")
