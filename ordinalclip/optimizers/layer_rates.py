"""Learning rates within a trained image tower: by prefix for new layers, by depth for those that learned before."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ordinalclip.errors import ConfigError, did_you_mean


class Build(NamedTuple):
    """How a kind of tower names its parameters: what precedes its blocks, the blocks by number, what follows."""

    first: tuple[str, ...]
    block: str
    last: tuple[str, ...]


BUILDS = (
    Build(  # open_clip's ViT
        ("class_embedding", "positional_embedding", "conv1", "ln_pre"),
        r"transformer\.resblocks\.(\d+)\.",
        ("ln_post", "proj", "attn_pool"),
    ),
    Build(  # timm's ViT and EfficientNet
        ("cls_token", "reg_token", "dist_token", "pos_embed", "patch_embed", "norm_pre", "conv_stem", "bn1"),
        r"blocks\.(\d+)\.",
        ("norm", "fc_norm", "attn_pool", "head", "head_dist", "conv_head", "bn2", "classifier"),
    ),
    Build(  # torchvision's ViT
        ("class_token", "conv_proj", "encoder.pos_embedding"),
        r"encoder\.layers\.encoder_layer_(\d+)\.",
        ("encoder.ln", "heads"),
    ),
    Build(  # ResNet: of open_clip, torchvision, timm
        ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3"),
        r"layer(\d+)\.",
        ("attnpool", "fc"),
    ),
    Build(  # timm's ConvNeXt and Swin
        ("stem", "patch_embed"),
        r"(?:stages|layers)\.(\d+)\.",
        ("norm_pre", "norm", "head"),
    ),
)


class Staged(NamedTuple):
    """Where a parameter learns: the words of its group's name and the factor of the part's rate."""

    words: str
    factor: float


def stage(names: Sequence[str], rates: Mapping[str, Any]) -> dict[str, Staged]:
    """Group and factor of every parameter of an image tower.

    With N blocks the layers are numbered 0 (all that precedes the blocks), 1…N, N+1 (all that follows them), and layer
    i learns at `layer_decay` ** (N+1 - i) [BEiT, MAE]; a ResNet's blocks are its four stages. That times `base_factor`.
    New layers learn at `new_factor`, whatever their depth.

    Args:
        names: the parameters' names within the tower.
        rates: as in `schema.ImageRates`.

    Returns:
        Name → group and factor: `new`, `layer03`, or an empty word if there are no layers.

    Raises:
        ConfigError: a prefix that no name has; a tower whose layers are not known here.
    """
    # A lazily built tower is inside of another module.
    short = {name: name.removeprefix("tower.") for name in names}
    for prefix in rates["new_layers"]:
        if not any(_starts(name, prefix) for name in short.values()):
            raise _no_such_layer(prefix, list(short.values()))
    new = {name for name in names if any(_starts(short[name], prefix) for prefix in rates["new_layers"])}
    staged = {name: Staged("new", rates["new_factor"]) for name in new}
    old = [name for name in names if name not in new]
    if rates["layer_decay"] is None:
        return staged | {name: Staged("", rates["base_factor"]) for name in old}
    top, layer_of = _depths(list(short.values()), {short[name] for name in old}, rates["layer_decay"])
    for name in old:
        layer = layer_of[short[name]]
        factor = rates["base_factor"] * rates["layer_decay"] ** (top - layer)
        staged[name] = Staged(f"layer{layer:0{len(str(top))}}", factor)
    return staged


def _depths(names: Sequence[str], wanted: set[str], decay: float) -> tuple[int, dict[str, int]]:
    """N+1 and the layer of every wanted name, by the first kind of tower that knows them all."""
    for build in BUILDS:
        found = _numbered(names, build)
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


def _numbered(names: Sequence[str], build: Build) -> tuple[int, dict[str, int]] | None:
    """N+1, and layers by name as far as a kind of tower knows them; None for a tower of another kind."""
    blocks = {name: re.match(rf"((?:\w+\.)*?){build.block}", name) for name in names}
    around = {match[1] for match in blocks.values() if match is not None}
    if len(around) != 1:  # blocks within stages, say
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
        if not name.startswith(outer) or any(_starts(inner, prefix) for prefix in build.last):
            layers[name] = top  # parameters outside of the network count as its top
        elif any(_starts(inner, prefix) for prefix in build.first):
            layers[name] = 0
    return top, layers


def _starts(name: str, prefix: str) -> bool:
    """Whole words only: `blocks.1` is not the beginning of `blocks.10`."""
    return name == prefix or name.startswith(f"{prefix}.")


def _no_such_layer(prefix: str, names: Iterable[str]) -> ConfigError:
    words = [name.split(".") for name in names]
    starts = {".".join(parts[:depth]) for parts in words for depth in range(1, len(parts) + 1)}
    tops = sorted({parts[0] for parts in words})
    near = did_you_mean(prefix, sorted(starts))
    return ConfigError("image_rates.new_layers", prefix, "no layer is named so", allowed=", ".join(tops), remedy=near)
