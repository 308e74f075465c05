"""What is left of a model once its prompts are learned: the image tower and R rank features."""

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ordinalclip.backbones.lazy import LazyTower
from ordinalclip.model import OrdinalCLIP
from ordinalclip.preprocessing import Preprocessing
from ordinalclip.reopen import Record, rebuild


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
