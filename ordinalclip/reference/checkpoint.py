"""A configuration and a checkpoint of the paper's code, read and checked without running anything in them.

Parameters are renamed to the names of `ordinalclip.model`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor
from yaml import YAMLError

from ordinalclip.errors import ConfigError

# CLIP's names there → open_clip's. Every other image encoder is a network of torchvision.
CLIP_MODELS = {
    "RN50": "RN50",
    "RN101": "RN101",
    "RN50x4": "RN50x4",
    "RN50x16": "RN50x16",
    "RN50x64": "RN50x64",
    "ViT-B/32": "ViT-B-32",
    "ViT-B/16": "ViT-B-16",
    "ViT-L/14": "ViT-L-14",
    "ViT-L/14@336px": "ViT-L-14-336",
}
_TRANSFORMS = {
    "input_resize": [256, 256],
    "input_size": [224, 224],
    "pixel_mean": [0.485, 0.456, 0.406],
    "pixel_std": [0.229, 0.224, 0.225],
}
_PROMPT = "runner_cfg.model_cfg.prompt_learner_cfg"
_RATES = {
    "context": "lr_prompt_learner_context",
    "rank": "lr_prompt_learner_ranks",
    "image": "lr_image_encoder",
    "text": "lr_text_encoder",
    "logit_scale": "lr_logit_scale",
}

_PREFIX = "module."
_BASELINE_SCALE = 100.0  # written out in its code
# How far a text tower may be from the CLIP's that it started from, relative to its norm: rounding if it was frozen,
# else what fine-tuning does. Unrelated ones are about 1.4 apart.
_NEAR, _FAR = 1e-3, 0.5
_RENAMED = {"context_embeds": "prompt.sentence.context", "logit_scale": "backbone.logit_scale"}


@dataclass(frozen=True)
class ReferenceSettings:
    """A model of the paper's code.

    Attributes:
        kind: of the whole model; `Baseline` is the image encoder with a linear head.
        learner: of the prompts; not used by the baseline.
        num_ranks: R.
        num_base_ranks: K; not used by the plain learner.
        tokens_per_rank: of each rank where no names are given.
        rank_file: path of a file with names, as it was written there, or None.
        rank_specific_context: whether every rank has a context of its own.
        rank_position: `tail`, `front` or `middle`.
        interpolation: `linear`, `inv_prop` or `normal`.
        image: name of the image encoder.
        text: name of the CLIP whose text encoder, or whose width, is used.
        rates: part → learning rate, None where it was frozen.
        seed: of its run.
        epochs: of its run.
        chosen_on_test: whether validation and test were one file.
        whole: the configuration, for the record.
    """

    kind: Literal["OrdinalCLIP", "Baseline"]
    learner: Literal["PlainPromptLearner", "RankPromptLearner"]
    num_ranks: int
    num_base_ranks: int
    tokens_per_rank: int | list[int]
    rank_file: str | None
    rank_specific_context: bool
    rank_position: str
    interpolation: str
    image: str
    text: str
    rates: dict[str, float | None]
    seed: int
    epochs: int
    chosen_on_test: bool
    whole: dict[str, Any]

    @property
    def has_clip_image(self) -> bool:
        """Whether the image tower is CLIP's own."""
        return self.image == self.text


def read_settings(path: Path) -> ReferenceSettings:
    """Reads a configuration as a run of the paper's code writes it beside its checkpoints.

    Raises:
        ConfigError: it cannot be read, lacks a key, or has a setting that cannot be expressed here.
    """
    try:
        whole: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError("config", path, f"cannot be read: {error}") from None
    look = _Look(path, whole)
    _check_transforms(look)
    model = "runner_cfg.model_cfg"
    rates = {
        part: float(look.up(f"runner_cfg.optimizer_and_scheduler_cfg.param_dict_cfg.{key}"))
        for part, key in _RATES.items()
    }
    text = look.one_of(f"{model}.text_encoder_name", tuple(CLIP_MODELS))
    files = [look.up(f"data_cfg.{split}_data_file") for split in ("val", "test")]
    return ReferenceSettings(
        kind=look.one_of(f"{model}.type", ("OrdinalCLIP", "Baseline")),
        learner=look.one_of(f"{_PROMPT}.type", ("PlainPromptLearner", "RankPromptLearner")),
        num_ranks=int(look.up(f"{_PROMPT}.num_ranks")),
        num_base_ranks=int(look.up(f"{_PROMPT}.num_base_ranks")),
        tokens_per_rank=look.up(f"{_PROMPT}.num_tokens_per_rank"),
        rank_file=look.up(f"{_PROMPT}.init_rank_path"),
        rank_specific_context=look.up(f"{_PROMPT}.rank_specific_context") is True,
        rank_position=look.one_of(f"{_PROMPT}.rank_tokens_position", ("tail", "front", "middle")),
        interpolation=look.one_of(f"{_PROMPT}.interpolation_type", ("linear", "inv_prop", "normal")),
        image=str(look.up(f"{model}.image_encoder_name")),
        text=text,
        rates={part: rate if rate > 0 else None for part, rate in rates.items()},
        seed=int(look.up("runner_cfg.seed")),
        epochs=int(look.up("trainer_cfg.max_epochs")),
        chosen_on_test=files[0] == files[1],
        whole=whole,
    )


@dataclass(frozen=True)
class _Look:
    """Looks up keys in a configuration; the error names the missing one."""

    path: Path
    whole: Any

    def up(self, key: str) -> Any:
        node = self.whole
        for word in key.split("."):
            if not isinstance(node, Mapping) or word not in node:
                remedy = "give the whole config.yaml that its run wrote beside its checkpoints"
                raise ConfigError("config", self.path, f"has no {key}", remedy=remedy)
            node = node[word]
        return node

    def one_of(self, key: str, allowed: tuple[str, ...]) -> Any:
        value = self.up(key)
        if value not in allowed:
            raise ConfigError("config", self.path, f"{key} is {value}", allowed=", ".join(allowed))
        return value


def _check_transforms(look: _Look) -> None:
    """Only the one way to prepare images that every configuration of the paper has is known here."""
    steps = look.up("data_cfg.transforms_cfg.input_transforms")
    for step in ("random_resized_crop", "normalize"):
        if step not in steps:
            problem = f"data_cfg.transforms_cfg.input_transforms has no {step}, which cannot be expressed here"
            raise ConfigError("config", look.path, problem)
    for key, value in _TRANSFORMS.items():
        given = look.up(f"data_cfg.transforms_cfg.{key}")
        if list(given) != value:
            problem = f"data_cfg.transforms_cfg.{key} is {given}, which cannot be expressed here"
            raise ConfigError("config", look.path, problem, allowed=str(value))


def read_checkpoint(path: Path, *, trust: bool) -> dict[str, Tensor]:
    """The tensors of a checkpoint, in float32, without the prefix `module.` of their names.

    Args:
        path: a Lightning checkpoint, or a plain state dict with the same names.
        trust: read whatever objects are beside the tensors, which may run code.

    Raises:
        ConfigError: it cannot be read, or is of something else.
    """
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=not trust)
    except Exception as error:  # whatever a foreign file makes torch raise
        said = " ".join(str(error).split()[:25])
        remedy = "" if trust else "if you know where it is from, trust=true reads the objects in it, which may run code"
        raise ConfigError("ckpt", path, f"cannot be read: {type(error).__name__}: {said}", remedy=remedy) from None
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    if not any(name.startswith(f"{_PREFIX}image_encoder.") for name in tensors):
        problem = f"is no checkpoint of the paper's code: its names are {', '.join(list(tensors)[:3]) or 'none'} …"
        raise ConfigError(
            "ckpt", path, problem, allowed="names such as module.image_encoder.…, as Lightning saves them"
        )
    return {
        name.removeprefix(_PREFIX): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def shape_of(state: Mapping[str, Tensor], name: str, ndims: Sequence[int], path: Path) -> list[int]:
    """Shape of a tensor that must be there with one of these numbers of dimensions."""
    if name not in state or state[name].ndim not in ndims:
        found = "missing" if name not in state else f"of shape {list(state[name].shape)}"
        raise ConfigError("ckpt", path, f"{name} is {found}; its config says otherwise")
    return list(state[name].shape)


def rename(
    state: Mapping[str, Tensor], settings: ReferenceSettings, counts: Sequence[int], own: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The checkpoint's tensors by the names of `OrdinalCLIP`.

    Args:
        state: from `read_checkpoint`.
        settings: from its configuration.
        counts: tokens of each rank, where the plain learner's ranks are cut to them.
        own: the model's own state, its towers' values those of the CLIP that was trained from.

    Returns:
        What a checkpoint of ours has to hold: towers only where they differ from `own`.

    Raises:
        ConfigError: a tensor has no place or another shape, or one of the model's is not in the checkpoint.
    """
    renamed = {_name(name, settings, own): tensor for name, tensor in state.items()}
    if len(renamed) < len(state):
        raise ConfigError("ckpt", "…", "several of its tensors have one place here: its image encoder is another one")
    if settings.kind == "Baseline":
        renamed["backbone.logit_scale"] = torch.tensor(math.log(_BASELINE_SCALE))
    elif settings.learner == "PlainPromptLearner":
        ranks_RTW = renamed["prompt.rank_tokens"]
        renamed["prompt.rank_tokens"] = torch.cat([row[:count] for row, count in zip(ranks_RTW, counts, strict=True)])
    for name, tensor in renamed.items():
        if name not in own or own[name].shape != tensor.shape:
            here = f"of shape {list(own[name].shape)} here" if name in own else "not in the model that its config says"
            raise ConfigError("ckpt", "…", f"{name} is of shape {list(tensor.shape)} there and {here}")
    towers = ("image", "projection") if settings.kind == "Baseline" else ("image", "projection", "text")
    _check_complete(set(renamed), set(own), towers)
    for tower in ("image", "text"):
        names = {name for name in renamed if name.startswith(f"backbone.{tower}.")}
        if all(torch.equal(renamed[name], own[name]) for name in names):
            renamed = {name: tensor for name, tensor in renamed.items() if name not in names}
        else:  # whole, so that another run can start from it: words' embeddings are not in theirs
            kept = {name: own[name] for name in own if name.startswith(f"backbone.{tower}.")}
            renamed = kept | renamed
    return {name: tensor.detach().clone() for name, tensor in renamed.items()}


def doubt_of_clip(state: Mapping[str, Tensor], settings: ReferenceSettings, own: Mapping[str, Tensor]) -> str:
    """Why the CLIP that was given may not be the one that was trained from, which had the embeddings of words; or "".

    Args:
        state: from `read_checkpoint`, of a checkpoint that `rename` takes.
        settings: from its configuration.
        own: the model's own state, with that CLIP's text tower.
    """
    if settings.kind == "Baseline":
        return ""
    pairs = [(state[name], own[_name(name, settings, own)]) for name in state if name.startswith("text_encoder.")]
    distance = sum(float((there - here).double().square().sum()) for there, here in pairs) ** 0.5
    length = sum(float(here.double().square().sum()) for _, here in pairs) ** 0.5
    trained = settings.rates["text"] is not None
    if distance <= (_FAR if trained else _NEAR) * length:
        return ""
    how = "is far from that of" if trained else "was frozen, but is not that of"
    return f"its text tower {how} the CLIP given as clip, whose embeddings of words were taken: it may be another one"


def _name(name: str, settings: ReferenceSettings, own: Mapping[str, Tensor]) -> str:
    """Our name of one of theirs; a name that nothing has where there is none."""
    part, _, rest = name.partition(".")
    if part == "prompt_learner" and rest == "rank_embeds":
        return "prompt.base_ranks" if settings.learner == "RankPromptLearner" else "prompt.rank_tokens"
    if part == "last_project":
        return "prompt.weight"
    if part == "text_encoder":
        return f"backbone.text.{rest}"
    if part == "image_encoder":
        places = (f"backbone.image.{rest}", f"backbone.image.tower.{rest}")
        last = places[0] if settings.has_clip_image else f"backbone.projection.linear.{rest.rpartition('.')[2]}"
        return next((place for place in places if place in own), last)
    return _RENAMED.get(rest or part, name)


def _check_complete(there: set[str], own: set[str], towers: Sequence[str]) -> None:
    wanted = {
        name
        for name in own
        if name.startswith(("prompt.", "backbone.logit_scale", *(f"backbone.{tower}." for tower in towers)))
    }
    missing = sorted(
        name for name in wanted - there if not name.endswith((".num_batches_tracked", "text.token_embedding.weight"))
    )
    if missing:
        raise ConfigError("ckpt", "…", f"has no values for {len(missing)} of the model's tensors: {missing[:3]}")
