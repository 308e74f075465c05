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
    """Images in, `Predictions` out.

    Attributes:
        logits: preprocessed pixels [B, 3, H, W] (float32) → logits [B, R] on the CPU.
        preprocessing: how images enter it.
        ranks: what its ranks are.
        calibration: content of the run's calibration.json; None where nothing was fitted, and there are no intervals.
        facts: where it comes from: run, data, protocol, stamps.
        limits: what files may be.
        sums: SHA-256 of the SHA256SUMS that it was opened with, which distinguishes models with the same facts; empty
            where there is none.
    """

    logits: Callable[[Tensor], Tensor]
    preprocessing: Preprocessing
    ranks: Ranks
    calibration: Mapping[str, Any] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = DEFAULT_LIMITS
    sums: str = ""

    def predict(self, images: Any, *, batch_size: int = BATCH_SIZE, level: float | None = None) -> Predictions:
        """The ranks of images.

        Args:
            images: one image or many: paths, bytes of files, Pillow images, arrays [H, W, 3] or tensors [3, H, W] of
                uint8 or of floats in 0…1; lists of them, or batches [N, H, W, 3] and [N, 3, H, W].
            batch_size: images that are computed at once.
            level: coverage that intervals are to have, one of the calibration's; None: its default, mostly 0.9, and no
                intervals where it could not be fitted, see `no_intervals`.

        Raises:
            ConfigError: there is no such level, or too few images calibrated it.
            DataError: naming an image that cannot be read, or the model answers with nan.
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
            DataError: it cannot be read, or is so long that it would have more than `limits.max_pixels` once scaled.
        """
        rgb = read_rgb(image, self.limits)
        width, height = self.preprocessing.scaled_size(*rgb.size, self.preprocessing.scaled)
        if width * height > max(self.limits.max_pixels, self.preprocessing.scaled**2):
            name = image if isinstance(image, str | Path) else "image"
            raise DataError(f"{name}: {rgb.width:,} × {rgb.height:,} pixels are too long and thin to be scaled")
        return self.preprocessing.to_tensor(rgb)

    def check_level(self, level: float | None) -> None:
        """Raises a ConfigError for a level that the model was not calibrated for; see `predict`."""
        apply_calibration(self._uniform(), self.calibration, level)

    def no_intervals(self) -> str:
        """Why predictions have no intervals where no level is asked for; empty where they have."""
        return apply_calibration(self._uniform(), self.calibration).reason

    def _uniform(self) -> np.ndarray:
        num_ranks = len(self.ranks.names)
        return np.full((1, num_ranks), 1 / num_ranks)

    def read(self, logits_NR: Tensor, level: float | None = None) -> Predictions:
        """Predictions from logits [N, R]; see `predict` for the level.

        Ranks and expectations are read off the probabilities as the model gives them, which is what its test scores
        are of; the probabilities that are returned are calibrated. An interval holds the median of its image's ranks; a
        rank that is read off otherwise may lie outside.

        Raises:
            DataError: a logit is nan or infinite, as where float16 overflows.
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
    """Lists of `size` items, the last one shorter; nothing is taken before it is asked for, nor held after."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
        del chunk


class ImageRanker(nn.Module):
    """Pixels in, one logit a rank out. B images, R ranks, D shared width.

    Args:
        image: the image tower, [B, 3, H, W] → [B, F].
        projection: [B, F] → [B, D].
        rank_features: [R, D], unit length.
        scale: what cosines are multiplied by.
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
    """The ranker of a finished run, frozen, in eval mode, on the CPU, and how images enter it.

    The rank features are those that the run recorded: no text is read, and no text tower runs.

    Raises:
        DataError: the checkpoint does not fit the configuration.
    """
    return ranker_from(rebuild(record), record)


def ranker_from(model: OrdinalCLIP, record: Record) -> tuple[ImageRanker, Preprocessing]:
    """`ranker_of` of a model that was rebuilt already."""
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
