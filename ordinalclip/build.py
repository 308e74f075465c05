"""The objects that a configuration names: a model put together from backbone and prompt, and any other group's."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class

from ordinalclip.backbones.load import load_backbone
from ordinalclip.backbones.weights import WeightFile
from ordinalclip.config import DESCRIPTIVE
from ordinalclip.initial_file import InitialFile
from ordinalclip.initialise import read_initial
from ordinalclip.model import OrdinalCLIP
from ordinalclip.prompts.names import rank_names_of


def assemble(
    cfg: Mapping[str, Any],
    weights: Mapping[str, WeightFile],
    rank_names: Sequence[str],
    initial: InitialFile | None = None,
    own: Collection[str] = (),
) -> OrdinalCLIP:
    """Backbone and prompt of a configuration, with initial values drawn from its seed alone.

    Args:
        cfg: a configuration from `ordinalclip.config.plain`.
        weights: part → file of the backbone's weights.
        rank_names: one for each of the R ranks; the prompt may have others of its own.
        initial: the checkpoint whose values come on top.
        own: towers, `image` or `text`, that will be written to although they are frozen, and so must not be shared.

    Raises:
        ConfigError: for settings that do not fit together, or initial values that do not fit the model.
    """
    values = None if initial is None else read_initial(initial)
    copied = {*own, *(() if values is None else values.towers())}
    backbone = load_backbone(
        cfg["backbone"],
        weights=weights,
        trainable=cfg["trainable"] | dict.fromkeys(copied, 1.0),
        cache_dir=Path(cfg["paths"]["cache"]),
        seed=cfg["seed"],
    )
    # A backbone built before in this process draws nothing, so the prompt's values start from a seed of their own.
    torch.manual_seed(cfg["seed"])
    given = rank_names_of(cfg["prompt"])
    names = rank_names if given is None else given
    prompt = build(cfg["prompt"], "prompt", text=backbone.text, embed_dim=backbone.embed_dim, rank_names=names)
    model = OrdinalCLIP(backbone, prompt)
    if values is not None:
        values.copy_into(model)
    return model


def build(node: Mapping[str, Any], group: str, **runtime: Any) -> Any:
    """Instantiates a group's `_target_` with its options and what the program adds."""
    skipped = ("_target_", *DESCRIPTIVE.get(group, ()))
    return get_class(node["_target_"])(**{k: v for k, v in node.items() if k not in skipped}, **runtime)
