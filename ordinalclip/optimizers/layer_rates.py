"""Learning rates within a trained image tower: by name prefix for new layers, by depth for pretrained ones."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ordinalclip.errors import ConfigError, did_you_mean


class LayerNames(NamedTuple):
    """Parameter names of an architecture: prefixes before its blocks, a pattern of its blocks, prefixes after them."""

    first: tuple[str, ...]
    block: str
    last: tuple[str, ...]


LAYER_NAMES = (
    LayerNames(  # open_clip's ViT
        ("class_embedding", "positional_embedding", "conv1", "ln_pre"),
        r"transformer\.resblocks\.(\d+)\.",
        ("ln_post", "proj", "attn_pool"),
    ),
    LayerNames(  # timm's ViT and EfficientNet
        ("cls_token", "reg_token", "dist_token", "pos_embed", "patch_embed", "norm_pre", "conv_stem", "bn1"),
        r"blocks\.(\d+)\.",
        ("norm", "fc_norm", "attn_pool", "head", "head_dist", "conv_head", "bn2", "classifier"),
    ),
    LayerNames(  # torchvision's ViT
        ("class_token", "conv_proj", "encoder.pos_embedding"),
        r"encoder\.layers\.encoder_layer_(\d+)\.",
        ("encoder.ln", "heads"),
    ),
    LayerNames(  # ResNet: of open_clip, torchvision, timm
        ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3"),
        r"layer(\d+)\.",
        ("attnpool", "fc"),
    ),
    LayerNames(  # timm's ConvNeXt and Swin
        ("stem", "patch_embed"),
        r"(?:stages|layers)\.(\d+)\.",
        ("norm_pre", "norm", "head"),
    ),
)


class LayerRate(NamedTuple):
    """A parameter's group within the image tower, "" if there is one only, and the factor of the part's rate."""

    group: str
    factor: float


def assign_layers(names: Sequence[str], rates: Mapping[str, Any]) -> dict[str, LayerRate]:
    """Group and factor of every parameter of an image tower.

    With N blocks the layers are numbered 0 (everything before the blocks), 1…N, N+1 (everything after them). Layer i
    learns at `layer_decay` ** (N+1 - i) [BEiT, MAE]; a ResNet's blocks are its four stages. That times `base_factor`.
    New layers learn at `new_factor`, whatever their depth.

    Args:
        names: the parameters' names within the tower.
        rates: as in `schema.ImageRates`.

    Returns:
        Name → group and factor; the group is `new`, `layer03`, or "" if rates do not depend on depth.

    Raises:
        ConfigError: if no name has a given prefix, or the tower's architecture is unknown.
    """
    # A `LazyTower` holds the tower as its attribute `tower`.
    short = {name: name.removeprefix("tower.") for name in names}
    for prefix in rates["new_layers"]:
        if not any(_starts(name, prefix) for name in short.values()):
            raise _no_such_layer(prefix, list(short.values()))
    new = {name for name in names if any(_starts(short[name], prefix) for prefix in rates["new_layers"])}
    rates_by_name = {name: LayerRate("new", rates["new_factor"]) for name in new}
    old = [name for name in names if name not in new]
    if rates["layer_decay"] is None:
        return rates_by_name | {name: LayerRate("", rates["base_factor"]) for name in old}
    top, layer_of = _depths(list(short.values()), {short[name] for name in old}, rates["layer_decay"])
    for name in old:
        layer = layer_of[short[name]]
        factor = rates["base_factor"] * rates["layer_decay"] ** (top - layer)
        rates_by_name[name] = LayerRate(f"layer{layer:0{len(str(top))}}", factor)
    return rates_by_name


def _depths(names: Sequence[str], wanted: set[str], decay: float) -> tuple[int, dict[str, int]]:
    """N+1 and the layer of every wanted name, by the first architecture that has all of them."""
    for layer_names in LAYER_NAMES:
        found = _numbered(names, layer_names)
        if found is not None and wanted <= found[1].keys():
            return found
    tops = ", ".join(sorted({name.partition(".")[0] for name in wanted}))
    raise ConfigError(
        "image_rates.layer_decay",
        decay,
        f"the order of this image tower's layers is not known ({tops})",
        allowed="ViTs and ResNets of open_clip, timm and torchvision; timm's EfficientNet, ConvNeXt and Swin",
        remedy="give the layers that are to learn faster in image_rates.new_layers",
    )


def _numbered(names: Sequence[str], layer_names: LayerNames) -> tuple[int, dict[str, int]] | None:
    """N+1 and name → layer, as far as the architecture has the names; None if it has no such blocks."""
    blocks = {name: re.match(rf"((?:\w+\.)*?){layer_names.block}", name) for name in names}
    around = {match[1] for match in blocks.values() if match is not None}
    if len(around) != 1:  # such as blocks within stages
        return None
    (outer,) = around
    numbers = {name: int(match[2]) for name, match in blocks.items() if match is not None}
    first, last = min(numbers.values()), max(numbers.values())
    top = last - first + 2
    layers = {name: number - first + 1 for name, number in numbers.items()}
    for name in names:
        inner = name.removeprefix(outer)
        if name in numbers:
            continue
        if not name.startswith(outer) or any(_starts(inner, prefix) for prefix in layer_names.last):
            layers[name] = top  # parameters outside the network belong to the top layer
        elif any(_starts(inner, prefix) for prefix in layer_names.first):
            layers[name] = 0
    return top, layers


def _starts(name: str, prefix: str) -> bool:
    """Whether a name starts with whole words of a prefix: `blocks.1` is not a prefix of `blocks.10`."""
    return name == prefix or name.startswith(f"{prefix}.")


def _no_such_layer(prefix: str, names: Iterable[str]) -> ConfigError:
    words = [name.split(".") for name in names]
    starts = {".".join(parts[:depth]) for parts in words for depth in range(1, len(parts) + 1)}
    tops = sorted({parts[0] for parts in words})
    near = did_you_mean(prefix, sorted(starts))
    return ConfigError("image_rates.new_layers", prefix, "no layer is named so", allowed=", ".join(tops), remedy=near)
