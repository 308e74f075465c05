"""The test results of a run per image, for paired comparisons and bootstrap intervals. N test images."""

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

_TOLERANCE = 1e-9  # an error equal to a threshold counts as within it


@dataclass(frozen=True, eq=False)
class ImageResults:
    """A run's predictions on its test split.

    Attributes:
        directory: of the run.
        images: SHA-256 of each image [N].
        predictions: of the images, in the same order.
        num_train: number of training images; None if not recorded.
    """

    directory: Path
    images: npt.NDArray[np.str_]
    predictions: Predictions
    num_train: int | None

    @cached_property
    def order(self) -> npt.NDArray[np.intp]:
        """Indices [N] that sort the images by hash and rank, so that runs with the same test set have equal rows."""
        return np.lexsort((self.predictions.rank, self.images))

    @cached_property
    def test_set(self) -> str:
        """A hash of the test images and their ranks, independent of their order."""
        digest = hashlib.sha256("".join(self.images[self.order]).encode())
        digest.update(self.predictions.rank[self.order].astype("<i8").tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def _scores(self) -> dict[str, Floats]:
        return per_image(self.predictions)

    def scores(self, name: str) -> Floats | None:
        """A score per image [N], in `order`, whose mean is the run's score; None if the score is not such a mean."""
        found = self._scores.get(name)
        if found is None:
            family, at = threshold_of(name)
            if family is not None and at is not None:
                found = self._within_threshold(family, at)
        return None if found is None else found[self.order]

    def _within_threshold(self, family: str, at: float) -> Floats:
        """Whether each error [N] is at most `at`: in ranks for `accuracy_within`, in the unit for `cs`."""
        predictions = self.predictions
        if family == "accuracy_within":
            error = readouts(predictions.probs)["argmax"] - predictions.rank
        else:
            values = predictions.rank_values
            error = readouts(predictions.probs, values)[predictions.readout] - values[predictions.rank]
        return (np.abs(error) <= at + _TOLERANCE).astype(float)

    @property
    def subject(self) -> npt.NDArray[np.int64] | None:
        """Index of each image's subject or group [N], in `order`; None if there are none."""
        family = self.predictions.family
        return None if family is None else family[self.order]

    def weighted(self, name: str) -> Callable[[Floats], float] | None:
        """A score as a function of the weights of the images [N], in `order`; None if it cannot be weighted."""
        score, place = weighted_score(name, self.predictions), np.argsort(self.order)
        return None if score is None else lambda weights: score(weights[place])


def read_image_results(directory: Path) -> ImageResults:
    """Reads the test results of a run from its record.

    Raises:
        DataError: if the record lacks predictions or image hashes, as for unfinished and old runs.
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
    return ImageResults(directory, images, predictions, num_train)
