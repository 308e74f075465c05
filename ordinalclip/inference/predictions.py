"""Predictions of N images over R ranks: rank, value, interval and probabilities."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Ranks:
    """The ranks of a model.

    Attributes:
        names: R names, in order.
        scale: the value of each rank, in `unit`.
        unit: unit of the values, such as "year"; may be empty.
        readout: how a rank is computed from the probabilities: expectation, argmax, median or rounded_expectation.
    """

    names: tuple[str, ...]
    scale: tuple[float, ...]
    unit: str
    readout: str


@dataclass(frozen=True)
class Prediction:
    """The prediction of one image.

    Attributes:
        rank: index from 0.
        name: name of the rank.
        value: value of the rank, in the unit of the model.
        expectation: mean value under the probabilities, in the same unit.
        lower: lowest value of the interval, in the same unit; nan if the model has no intervals. An interval
            contains the value of the median rank; `value` of another readout and `expectation` may lie outside.
        upper: highest value of the interval.
        probs: probabilities [R].
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
    """Predictions of N images, as columns; iterating and indexing return a `Prediction`.

    Attributes:
        probs: [N, R] float32, calibrated if the model is.
        rank: [N] the rank by the readout of the model.
        expectation: [N] mean value under the probabilities before calibration, in the unit of `ranks`.
        lower_rank: [N] index of the lowest rank of the interval, -1 if the model has no intervals; `interval` returns
            its value.
        upper_rank: [N] index of the highest rank of the interval.
        coverage: nominal coverage: share of images whose true rank is in the interval, guaranteed for images like the
            calibration images; None if there are no intervals.
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
        """Lowest and highest value [N] of the intervals, in the unit of `ranks`; nan if there are none."""
        values = np.array([*self.ranks.scale, np.nan])  # index -1
        return values[self.lower_rank], values[self.upper_rank]

    def to_frame(self, *, top: int = 0, probs: bool = True) -> pd.DataFrame:
        """A table with one row per image: rank, name, value, expectation, lower, upper (of the interval), coverage.

        Args:
            top: number of most probable ranks to add, as `top1`, `top1_prob`, …
            probs: whether to add all probabilities, as `p_<name>`.

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
    """Column names of the probabilities; ranks that share a name are distinguished by their index."""
    return [f"p_{name}" if names.count(name) == 1 else f"p_{index}_{name}" for index, name in enumerate(names)]
