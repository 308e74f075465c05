"""Predictions of images: a rank each, with its value, an interval and all probabilities. N images, R ranks."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Ranks:
    """What the ranks of a model are.

    Attributes:
        names: one a rank, in order.
        scale: the value of each rank, in `unit`.
        unit: of the values, such as "year"; empty where they are plain numbers.
        readout: how one rank is read off the probabilities: expectation, argmax, median or rounded_expectation.
    """

    names: tuple[str, ...]
    scale: tuple[float, ...]
    unit: str
    readout: str


@dataclass(frozen=True)
class Prediction:
    """Of one image.

    Attributes:
        rank: index from 0.
        name: of the rank.
        value: of the rank, in the model's unit.
        expectation: mean value under the probabilities, in the same unit.
        lower: lowest value of the interval, in the same unit; nan where the model has no interval. An interval holds
            the value of the median rank; `value`, where it is read off otherwise, and `expectation` may lie outside.
        upper: highest value of it.
        probs: [R], they add up to 1.
    """

    rank: int
    name: str
    value: float
    expectation: float
    lower: float
    upper: float
    probs: np.ndarray


@dataclass(frozen=True)
class Predictions:
    """Of N images, column by column; iterating and indexing give single ones.

    Attributes:
        probs: [N, R] float32, calibrated where the model is.
        rank: [N] the rank that the readout gives.
        expectation: [N] mean value under the probabilities before calibration, in the unit of `ranks`.
        lower_rank: [N] index of the rank that the interval begins with, or -1 where the model has no interval; see
            `interval` for its value.
        upper_rank: [N] index of the rank that it ends with.
        coverage: share of images whose true rank such intervals contain, as promised for images like the calibration
            images; None where there is no interval.
        ranks: names, values and unit.
    """

    probs: np.ndarray
    rank: np.ndarray
    expectation: np.ndarray
    lower_rank: np.ndarray
    upper_rank: np.ndarray
    coverage: float | None
    ranks: Ranks

    def __len__(self) -> int:
        return len(self.rank)

    def __getitem__(self, index: int) -> Prediction:
        rank, scale = int(self.rank[index]), self.ranks.scale
        low, high = (scale[end] if end >= 0 else math.nan for end in (self.lower_rank[index], self.upper_rank[index]))
        name, value = self.ranks.names[rank], scale[rank]
        return Prediction(rank, name, value, float(self.expectation[index]), low, high, self.probs[index])

    def __iter__(self) -> Iterator[Prediction]:
        return (self[index] for index in range(len(self)))

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value [N] of the intervals, in the unit of `ranks`; nan where there is none."""
        values = np.array([*self.ranks.scale, np.nan])  # index -1
        return values[self.lower_rank], values[self.upper_rank]

    def to_frame(self, *, top: int = 0, probs: bool = True) -> pd.DataFrame:
        """A row an image: rank, name, value, expectation, lower, upper, coverage. The ends of the interval are values.

        Args:
            top: so many of the most probable ranks besides, `top1`, `top1_prob`, …
            probs: all probabilities, a column `p_<name>` a rank.

        Raises:
            ValueError: `top` is more than there are ranks.
        """
        num_ranks = len(self.ranks.names)
        if not 0 <= top <= num_ranks:
            raise ValueError(f"top={top}: there are {num_ranks} ranks")
        names, values = np.array(self.ranks.names, dtype=object), np.array(self.ranks.scale)
        lower, upper = self.interval()
        columns: dict[str, np.ndarray | float] = {
            "rank": self.rank,
            "name": names[self.rank],
            "value": values[self.rank],
            "expectation": self.expectation,
            "lower": lower,
            "upper": upper,
            "coverage": np.full(len(self), np.nan if self.coverage is None else self.coverage),
        }
        order = np.argsort(-self.probs, axis=1, kind="stable")[:, :top]
        for place in range(top):
            columns[f"top{place + 1}"] = names[order[:, place]]
            columns[f"top{place + 1}_prob"] = np.take_along_axis(self.probs, order[:, place : place + 1], 1)[:, 0]
        if probs:
            columns |= dict(zip(prob_columns(self.ranks.names), self.probs.T, strict=True))
        return pd.DataFrame(columns)


def prob_columns(names: Sequence[str]) -> list[str]:
    """Column of each rank's probability; names that several ranks share are distinguished by the rank's index."""
    return [f"p_{name}" if names.count(name) == 1 else f"p_{index}_{name}" for index, name in enumerate(names)]
