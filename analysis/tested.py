"""What a run was tested on and how it did there, image by image: the material of paired comparisons."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from pyarrow.parquet import read_schema

from ordinalclip.errors import DataError
from ordinalclip.metrics.names import threshold_of
from ordinalclip.runs.run import Run
from ordinalclip.scoring.image_scores import per_image, readouts, weighted_score
from ordinalclip.scoring.predictions import Predictions, read_predictions

Floats = npt.NDArray[np.floating]

_ROUNDING = 1e-9  # of an error that is as large as a threshold


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
        if found is None:
            family, at = threshold_of(name)
            if family is not None and at is not None:
                found = self._within(family, at)
        return None if found is None else found[self.order]

    def _within(self, family: str, at: float) -> Floats:
        """Whether each image [N] is at most so far off: `cs` in the unit by the protocol's readout, else in ranks."""
        predictions = self.predictions
        if family == "accuracy_within":
            error = readouts(predictions.probs)["argmax"] - predictions.rank
        else:
            values = predictions.rank_values
            error = readouts(predictions.probs, values)[predictions.readout] - values[predictions.rank]
        return (np.abs(error) <= at + _ROUNDING).astype(float)

    @property
    def subject(self) -> npt.NDArray[np.int64] | None:
        """Number of each image's subject or group [N] in `order`; None where none is known."""
        family = self.predictions.family
        return None if family is None else family[self.order]

    def weighted(self, name: str) -> Callable[[Floats], float] | None:
        """A score as a function of how often each image [N], in `order`, is drawn; None for scores without one."""
        score, place = weighted_score(name, self.predictions), np.argsort(self.order)
        return None if score is None else lambda weights: score(weights[place])


def read_tested(directory: Path) -> Tested:
    """The test split of a run, from its record alone.

    Raises:
        DataError: the record lacks it, as those of unfinished and of old runs do.
    """
    run = Run(directory)
    predictions = read_predictions(run)
    file = directory / "predictions.parquet"
    if "sha256" not in read_schema(file).names:
        raise DataError(f"{directory}: its predictions do not say which images they are of (sha256)")
    manifest, num_train = directory / "manifest.parquet", None
    if manifest.is_file():
        num_train = int((pd.read_parquet(manifest, columns=["split"])["split"] == "train").sum())
    images = pd.read_parquet(file, columns=["sha256"])["sha256"].to_numpy(dtype=str)
    return Tested(directory, images, predictions, num_train)
