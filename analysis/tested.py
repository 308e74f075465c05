"""What a run was tested on and how it did there, image by image: the material of paired comparisons."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ordinalclip.errors import DataError
from ordinalclip.metrics.per_image import per_image
from ordinalclip.predictions import Predictions, read_predictions
from ordinalclip.runs import Run

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Tested:
    """A run's test split.

    Attributes:
        directory: the run's.
        images: SHA-256 of each image [N].
        predictions: of the images, in the same order.
        num_train: training images; None where the record does not say.
    """

    directory: Path
    images: npt.NDArray[np.str_]
    predictions: Predictions
    num_train: int | None

    @cached_property
    def order(self) -> npt.NDArray[np.intp]:
        """The images in the order of hash and rank, in which the same test set of another run has the same rows."""
        return np.lexsort((self.predictions.rank, self.images))

    @cached_property
    def test_set(self) -> str:
        """A hash of which images with which labels were tested, whatever their order."""
        digest = hashlib.sha256("".join(self.images[self.order]).encode())
        digest.update(self.predictions.rank[self.order].astype("<i8").tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def _scores(self) -> dict[str, Floats]:
        return per_image(self.predictions)

    def scores(self, name: str) -> Floats | None:
        """A score of each image [N] in `order`, whose mean is the run's; None for scores that are no such mean."""
        found = self._scores.get(name)
        return None if found is None else found[self.order]

    @property
    def subject(self) -> npt.NDArray[np.int64] | None:
        """Number of each image's subject or group [N] in `order`; None where none is known."""
        family = self.predictions.family
        return None if family is None else family[self.order]

    def weighted(self, name: str) -> Callable[[Floats], float] | None:
        """A score as a function of how often each image [N], in `order`, is drawn; None for scores without one."""
        predictions = self.predictions
        rank, probs = predictions.rank[self.order], predictions.probs[self.order].astype(float)
        if name == "qwk":
            return partial(quadratic_kappa, rank, probs.argmax(axis=1), num_ranks=predictions.num_ranks)
        if name == "spearman":
            return partial(spearman, rank.astype(float), probs @ np.arange(predictions.num_ranks))
        return None


def read_tested(directory: Path) -> Tested:
    """The test split of a run, from its record alone.

    Raises:
        DataError: the record lacks it, as those of unfinished and of old runs do.
    """
    run = Run(directory)
    predictions = read_predictions(run)
    table = pd.read_parquet(directory / "predictions.parquet")
    if "sha256" not in table:
        raise DataError(f"{directory}: its predictions do not say which images they are of (sha256)")
    manifest, num_train = directory / "manifest.parquet", None
    if manifest.is_file():
        num_train = int((pd.read_parquet(manifest, columns=["split"])["split"] == "train").sum())
    return Tested(directory, table["sha256"].to_numpy(dtype=str), predictions, num_train)


def quadratic_kappa(
    rank: npt.NDArray[np.integer], given: npt.NDArray[np.integer], weights: Floats, *, num_ranks: int
) -> float:
    """Quadratic weighted kappa of ranks [N] and given ranks [N], each image counted `weights` [N] times.

    0 where all targets and all predictions are one rank, as in `ordinalclip.metrics.collection`.
    """
    counts = np.bincount(rank * num_ranks + given, weights, num_ranks**2).reshape(num_ranks, num_ranks)
    off = np.square(np.subtract.outer(np.arange(num_ranks), np.arange(num_ranks)))
    chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    expected = float((off * chance).sum())
    return 1 - float((off * counts).sum()) / expected if expected > 0 else 0.0


def spearman(one: Floats, other: Floats, weights: Floats) -> float:
    """Rank correlation of two columns [N], each row counted `weights` [N] times; 0 where one of them is constant."""
    kept = weights > 0
    count = weights[kept]
    x, y = (_mid_ranks(column[kept], count) for column in (one, other))
    x, y = x - np.average(x, weights=count), y - np.average(y, weights=count)
    lengths = float((count * x * x).sum()) * float((count * y * y).sum())
    return float((count * x * y).sum() / np.sqrt(lengths)) if lengths > 0 else 0.0


def _mid_ranks(column: Floats, weights: Floats) -> Floats:
    """Ranks [N] of rows that stand for `weights` [N] equal ones each; ties share their mean."""
    _, index = np.unique(column, return_inverse=True)
    total = np.bincount(index, weights)
    return (total.cumsum() - total / 2 + 0.5)[index]
