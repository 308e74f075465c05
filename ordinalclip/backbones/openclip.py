"""Any model of open_clip as a backbone."""

from collections.abc import Mapping
from typing import Annotated, Literal

from ordinalclip.backbones.backbone import Backbone, build_projection
from ordinalclip.backbones.towers.openclip_models import (
    empty_model,
    load_whole,
    origin,
    preprocessing_of,
    published_settings,
)
from ordinalclip.backbones.towers.openclip_text import text_tower_of
from ordinalclip.backbones.weights.find import WeightFile
from ordinalclip.config.kinds import Between
from ordinalclip.errors import ConfigError
from ordinalclip.images.preprocessing import reference_preprocessing


def build_openclip(
    *,
    model: str,
    tag: str | None = None,
    size: Annotated[int, Between(16, None)] | None = None,
    projection: Literal["none", "adapter", "linear"] = "none",
    adapter_width: Annotated[int, Between(1, None)] = 256,
    adapter_share: Annotated[float, Between(0, None)] = 1.0,
    tokenizer: str | None = None,
    preprocessing: Literal["own", "reference"] = "own",
    weights: Mapping[str, WeightFile],
) -> Backbone:
    """Build an open_clip model.

    The tag of the weights determines the activation (QuickGELU or not) and the preprocessing; with others the model is
    worse, without an error.

    SigLIP's logit bias is left out: it adds the same number to the logits of all ranks, and a softmax over the ranks
    does not see that.

    Args:
        model: open_clip's name, such as `ViT-B-16`.
        tag: whose weights a file is (`openai`, …) where `weights` names a path; `config` is the model's configuration
            with CLIP's mean and deviation. TorchScript archives are OpenAI's. Not needed with published weights.
        size: pixels of the image's side; None is the model's. Position embeddings are interpolated.
        projection: of image features; "none" is right where both towers come from one CLIP.
        adapter_width: hidden width of the adapter.
        adapter_share: weight of the adapter's residual.
        tokenizer: folder of the tokenizer where it is not CLIP's (SigLIP, Hugging Face), with a text encoder's
            `config.json`; None looks in the usual places. Read by `find_weights`.
        preprocessing: "own" is that of the weights, "reference" that of the paper's code.
        weights: part "all", and "tokenizer" where the model has one of its own.

    Raises:
        ConfigError: if the file is not of this model, or the model's images cannot be prepared.
    """
    if {*weights} - {"tokenizer"} != {"all"}:
        allowed = "one tag, path or random: both towers are in one file"
        raise ConfigError("backbone.weights", dict.fromkeys(weights, "…"), "are several files", allowed=allowed)
    file = weights["all"]
    published = published_settings(model, origin(file, tag))
    words = weights["tokenizer"].path if "tokenizer" in weights else None
    clip = empty_model(model, quick_gelu=published.get("quick_gelu"), size=size, text_folder=words)
    if file.path is not None:
        load_whole(clip, file.path, model)
    text = text_tower_of(clip, model, words)
    prepared = preprocessing_of(clip.visual.image_size, published, model)
    return Backbone(
        image=clip.visual,
        text=text,
        projection=build_projection(projection, text.embed_dim, text.embed_dim, adapter_width, adapter_share),
        logit_scale=float(clip.logit_scale.detach()),
        preprocessing=prepared if preprocessing == "own" else reference_preprocessing(prepared.size),
        feature_dim=text.embed_dim,
        embed_dim=text.embed_dim,
    )
