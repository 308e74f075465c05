"""A CLIP of two layers with random weights and CLIP's real tokenizer: built in a moment, for tests and debugging."""

from collections.abc import Mapping
from typing import Annotated, Literal

from ordinalclip.backbones.backbone import Backbone, build_projection
from ordinalclip.backbones.checks import check_multiples_of_8
from ordinalclip.backbones.towers.openclip_causal import CausalText
from ordinalclip.backbones.weights.find import WeightFile
from ordinalclip.config.kinds import Between
from ordinalclip.errors import ConfigError
from ordinalclip.images.preprocessing import Preprocessing

VOCABULARY = 49408


def build_tiny(
    *,
    width: Annotated[int, Between(8, None)] = 64,
    embed_dim: Annotated[int, Between(1, None)] = 64,
    size: Annotated[int, Between(16, None)] = 32,
    projection: Literal["none", "linear"] = "none",
    weights: Mapping[str, WeightFile],
) -> Backbone:
    """Build the tiny CLIP.

    Args:
        width: of both towers' tokens; a multiple of 8.
        embed_dim: D = F.
        size: pixels of the image's side; a multiple of 8.
        projection: of image features.
        weights: `random`; there are no trained ones.

    Raises:
        ConfigError: if weights are named, or sizes are not multiples of 8.
    """
    import open_clip
    from open_clip.model import CLIP

    if any(file.path is not None for file in weights.values()):
        raise ConfigError("backbone.weights", "…", "tiny has no trained weights", allowed="random")
    check_multiples_of_8(width=width, size=size)
    vision = {"image_size": size, "patch_size": 8, "width": width, "layers": 2, "head_width": 8}
    text = {"context_length": 77, "vocab_size": VOCABULARY, "width": width, "heads": width // 8, "layers": 2}
    clip = CLIP(embed_dim, vision, text)
    return Backbone(
        image=clip.visual,
        text=CausalText(clip, open_clip.SimpleTokenizer()),
        projection=build_projection(projection, embed_dim, embed_dim),
        logit_scale=float(clip.logit_scale.detach()),
        preprocessing=Preprocessing(size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear", "squash"),
        feature_dim=embed_dim,
        embed_dim=embed_dim,
    )
