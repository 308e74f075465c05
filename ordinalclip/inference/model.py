"""A trained model, ready for images: the image tower, R rank features, preprocessing, ranks and calibration.

`RankModel` predicts. `ImageRanker` is the module behind it: after training, prompts are no longer needed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ordinalclip.backbones.backbone import LazyTower
from ordinalclip.calibration.calibration import apply_calibration
from ordinalclip.errors import DataError
from ordinalclip.images.decoding import DEFAULT_LIMITS, Limits, images_in, read_rgb
from ordinalclip.images.preprocessing import Preprocessing
from ordinalclip.inference.predictions import Predictions, Ranks
from ordinalclip.metrics.readout import read_out
from ordinalclip.model import OrdinalCLIP
from ordinalclip.preparation.reopen import Record, rebuild

BATCH_SIZE = 32
NOT_FINITE = "the model answers with numbers that are not finite"


@dataclass(frozen=True)
class RankModel:
    """A trained model that predicts ranks of images.

    Attributes:
        logits: preprocessed pixels [B, 3, H, W] (float32) → logits [B, R] on the CPU.
        preprocessing: preprocessing of images.
        ranks: names and values of the ranks.
        calibration: content of the run's calibration.json; None: not calibrated, so there are no intervals.
        facts: origin of the model: run, data set, protocol.
        limits: size limits of image files.
        sums: SHA-256 of the model's SHA256SUMS, which distinguishes models with the same facts; may be empty.
    """

    logits: Callable[[Tensor], Tensor]
    preprocessing: Preprocessing
    ranks: Ranks
    calibration: Mapping[str, Any] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = DEFAULT_LIMITS
    sums: str = ""

    def predict(self, images: Any, *, batch_size: int = BATCH_SIZE, level: float | None = None) -> Predictions:
        """Predicts the ranks of images.

        Args:
            images: one image or many: paths, bytes of files, Pillow images, arrays [H, W, 3] or tensors [3, H, W] of
                uint8 or of floats in 0…1; lists of them, or batches [N, H, W, 3] and [N, 3, H, W].
            batch_size: images per forward pass.
            level: nominal coverage of the intervals, a level of the calibration; None: its default, mostly 0.9, and no
                intervals if it was not fitted, see `no_intervals`.

        Raises:
            ConfigError: there is no such level, or it had too few calibration images.
            DataError: an image cannot be read, or a logit is not finite.
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
        return self.read(torch.cat(logits), level)

    def pixels(self, image: Any) -> Tensor:
        """Preprocessed pixels [3, H, W] of one image.

        Raises:
            DataError: it cannot be read, or would have more than `limits.max_pixels` after scaling.
        """
        rgb = read_rgb(image, self.limits)
        width, height = self.preprocessing.scaled_size(*rgb.size, self.preprocessing.scaled)
        if width * height > max(self.limits.max_pixels, self.preprocessing.scaled**2):
            name = image if isinstance(image, str | Path) else "image"
            raise DataError(f"{name}: {rgb.width:,} × {rgb.height:,} pixels are too long and thin to be scaled")
        return self.preprocessing.to_tensor(rgb)

    def check_level(self, level: float | None) -> None:
        """Raises ConfigError if the model was not calibrated for `level`; see `predict`."""
        apply_calibration(self._uniform(), self.calibration, level)

    def no_intervals(self) -> str:
        """The reason why predictions of the default level have no intervals; empty if they have."""
        return apply_calibration(self._uniform(), self.calibration).reason

    def _uniform(self) -> np.ndarray:
        num_ranks = len(self.ranks.names)
        return np.full((1, num_ranks), 1 / num_ranks)

    def read(self, logits_NR: Tensor, level: float | None = None) -> Predictions:
        """Predictions from logits [N, R]; see `predict` for the level.

        Ranks and expectations are computed from the uncalibrated probabilities, as are the test scores of the run; the
        returned probabilities are calibrated. An interval contains the median rank; the rank of another readout may
        lie outside.

        Raises:
            DataError: a logit is nan or infinite, such as after a float16 overflow.
        """
        broken = (~logits_NR.isfinite().all(1)).nonzero().flatten().tolist()
        if broken:
            raise DataError(f"{NOT_FINITE} (image {broken[0]} of {len(logits_NR)}, counted from 0)")
        probs_NR = logits_NR.double().softmax(-1)
        calibrated = apply_calibration(probs_NR.numpy(), self.calibration, level)
        none = np.full(len(probs_NR), -1)
        return Predictions(
            probs=calibrated.probs.astype(np.float32),
            rank=read_out(probs_NR, self.ranks.readout).round().long().numpy(),
            expectation=probs_NR.numpy() @ np.array(self.ranks.scale),
            lower_rank=none if calibrated.lower is None else calibrated.lower,
            upper_rank=none if calibrated.upper is None else calibrated.upper,
            coverage=None if calibrated.lower is None else calibrated.level,
            ranks=self.ranks,
        )


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yields lists of `size` items; the last may be shorter. Items are consumed lazily and not kept."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
        del chunk


class ImageRanker(nn.Module):
    """The image side of a trained model: pixels [B, 3, H, W] → logits [B, R]. D is the embedding width.

    Args:
        image: the image tower, [B, 3, H, W] → [B, F].
        projection: [B, F] → [B, D].
        rank_features: [R, D], unit length.
        scale: factor of the cosine similarities.
    """

    rank_features: Tensor
    scale: Tensor

    def __init__(self, image: nn.Module, projection: nn.Module, rank_features: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.image, self.projection = image, projection
        self.register_buffer("rank_features", rank_features)
        self.register_buffer("scale", scale)

    def image_features(self, images: Tensor) -> Tensor:
        """Image features [B, D], unit length, of preprocessed pixels [B, 3, H, W]."""
        features_BD = self.projection(self.image(images).to(self.rank_features.dtype))
        return F.normalize(features_BD, dim=-1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, R] of preprocessed pixels [B, 3, H, W]."""
        return self.scale * self.image_features(images) @ self.rank_features.T


def ranker_of(record: Record) -> tuple[ImageRanker, Preprocessing]:
    """The ranker of a finished run, frozen, in eval mode, on the CPU, and its preprocessing.

    Rank features are read from the record, so no text is encoded.

    Raises:
        DataError: the checkpoint does not fit the configuration.
    """
    return ranker_from(rebuild(record), record)


def ranker_from(model: OrdinalCLIP, record: Record) -> tuple[ImageRanker, Preprocessing]:
    """Like `ranker_of`, for a model that was rebuilt already."""
    backbone = model.backbone
    image = backbone.image.ready() if isinstance(backbone.image, LazyTower) else backbone.image
    features_RD = load_file(record.run.directory / "rank_features.safetensors")["rank_features"]
    scale = backbone.logit_scale.detach().exp()
    ranker = ImageRanker(image, backbone.projection, features_RD.to(scale.dtype), scale)
    return ranker.eval().requires_grad_(False), backbone.preprocessing


def logits_of(ranker: ImageRanker, images: Tensor, device: torch.device) -> Tensor:
    """Logits [B, R] (float32, on the CPU) of preprocessed pixels [B, 3, H, W], without gradients."""
    with torch.inference_mode():
        logits: Tensor = ranker(images.to(device)).float().cpu()
    return logits
