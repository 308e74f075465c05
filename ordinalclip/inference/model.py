"""A trained model, ready for images."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ordinalclip.inference.predictions import Predictions, Ranks
from ordinalclip.inference.reading import DEFAULT_LIMITS, Limits, images_in, read_rgb
from ordinalclip.metrics.readout import read_out
from ordinalclip.preprocessing import Preprocessing

BATCH_SIZE = 32


class Intervals(Protocol):
    """What was fitted on calibration images."""

    coverage: float

    def probs(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities [N, R] of logits [N, R]."""
        ...

    def edges(self, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and last rank [N] of the interval of each row of calibrated probabilities [N, R]."""
        ...


@dataclass(frozen=True)
class RankModel:
    """Images in, `Predictions` out.

    Attributes:
        logits: preprocessed pixels [B, 3, H, W] (float32) → logits [B, R] on the CPU.
        preprocessing: how images enter it.
        ranks: what its ranks are.
        intervals: None where nothing was fitted; probabilities are then those of the logits as they are.
        facts: where it comes from: run, data, protocol, stamps.
        limits: what files may be.
    """

    logits: Callable[[Tensor], Tensor]
    preprocessing: Preprocessing
    ranks: Ranks
    intervals: Intervals | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = DEFAULT_LIMITS

    def predict(self, images: Any, *, batch_size: int = BATCH_SIZE) -> Predictions:
        """The ranks of images.

        Args:
            images: one image or many: paths, bytes of files, Pillow images, arrays [H, W, 3] or tensors [3, H, W] of
                uint8 or of floats in 0…1; lists of them, or batches [N, H, W, 3] and [N, 3, H, W].
            batch_size: images that are computed at once.

        Raises:
            DataError: naming an image that cannot be read.
            ValueError: there are no images.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: must be at least 1")
        logits = [
            self.logits(torch.stack([self.pixels(image) for image in batch]))
            for batch in chunks(images_in(images), batch_size)
        ]
        if not logits:
            raise ValueError("there are no images")
        return self.read(torch.cat(logits))

    def pixels(self, image: Any) -> Tensor:
        """Preprocessed pixels [3, H, W] of one image."""
        return self.preprocessing.to_tensor(read_rgb(image, self.limits))

    def read(self, logits_NR: Tensor) -> Predictions:
        """Predictions from logits [N, R]."""
        if self.intervals is None:
            probs_NR = logits_NR.double().softmax(-1).numpy()
            lower = upper = np.full(len(probs_NR), -1)
        else:
            probs_NR = self.intervals.probs(logits_NR.double().numpy())
            lower, upper = self.intervals.edges(probs_NR)
        return Predictions(
            probs=probs_NR.astype(np.float32),
            rank=read_out(torch.from_numpy(probs_NR), self.ranks.readout).round().long().numpy(),
            expectation=probs_NR @ np.array(self.ranks.scale),
            lower=lower,
            upper=upper,
            coverage=None if self.intervals is None else self.intervals.coverage,
            ranks=self.ranks,
        )


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of `size` items, the last one shorter; nothing is taken before it is asked for."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
