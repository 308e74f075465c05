"""A configuration of the paper's code: read, checked, and translated to this project's configuration groups.

A configuration is the config.yaml that a run of the paper's code writes beside its checkpoints. What has no equivalent
here raises a ConfigError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ordinalclip.errors import ConfigError
from ordinalclip.prompts.checks import rank_names_of

if TYPE_CHECKING:
    from torch import Tensor

# Name of a CLIP in the paper's code → name in open_clip. Any other image encoder is a torchvision network.
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
_TRANSFORMS = {  # the only supported preprocessing: the one of every configuration of the paper
    "input_resize": [256, 256],
    "input_size": [224, 224],
    "pixel_mean": [0.485, 0.456, 0.406],
    "pixel_std": [0.229, 0.224, 0.225],
}
_PROMPT = "runner_cfg.model_cfg.prompt_learner_cfg"
_RATES = {  # part of `trainable` → its learning rate's key
    "context": "lr_prompt_learner_context",
    "rank": "lr_prompt_learner_ranks",
    "image": "lr_image_encoder",
    "text": "lr_text_encoder",
    "logit_scale": "lr_logit_scale",
}


@dataclass(frozen=True)
class ReferenceSettings:
    """Settings of a model and run of the paper's code.

    Attributes:
        kind: Kind of model; `Baseline` is the image encoder with a linear head.
        learner: Kind of prompts; not used by the baseline.
        num_ranks: R.
        num_base_ranks: K; not used by the plain learner.
        tokens_per_rank: Tokens of each rank if no names are given.
        rank_file: Path of a file with rank names, as configured, or None.
        rank_specific_context: Whether every rank has its own context.
        rank_position: `tail`, `front` or `middle`.
        interpolation: `linear`, `inv_prop` or `normal`.
        image: Name of the image encoder.
        text: Name of the CLIP whose text encoder, or whose width, is used.
        rates: Part → learning rate, None if frozen.
        seed: Seed of the run.
        epochs: Number of epochs.
        chosen_on_test: Whether validation and test were the same file.
        whole: The whole configuration, for the record.
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
    """Reads the config.yaml of a run of the paper's code.

    Raises:
        ConfigError: If it cannot be read, lacks a key, or has a value without an equivalent here.
    """
    try:
        whole: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError("config", path, f"cannot be read: {error}") from None
    keys = _Keys(path, whole)
    _check_transforms(keys)
    model = "runner_cfg.model_cfg"
    rates = {
        part: float(keys.get(f"runner_cfg.optimizer_and_scheduler_cfg.param_dict_cfg.{key}"))
        for part, key in _RATES.items()
    }
    text = keys.one_of(f"{model}.text_encoder_name", tuple(CLIP_MODELS))
    files = [keys.get(f"data_cfg.{split}_data_file") for split in ("val", "test")]
    return ReferenceSettings(
        kind=keys.one_of(f"{model}.type", ("OrdinalCLIP", "Baseline")),
        learner=keys.one_of(f"{_PROMPT}.type", ("PlainPromptLearner", "RankPromptLearner")),
        num_ranks=int(keys.get(f"{_PROMPT}.num_ranks")),
        num_base_ranks=int(keys.get(f"{_PROMPT}.num_base_ranks")),
        tokens_per_rank=keys.get(f"{_PROMPT}.num_tokens_per_rank"),
        rank_file=keys.get(f"{_PROMPT}.init_rank_path"),
        rank_specific_context=keys.get(f"{_PROMPT}.rank_specific_context") is True,
        rank_position=keys.one_of(f"{_PROMPT}.rank_tokens_position", ("tail", "front", "middle")),
        interpolation=keys.one_of(f"{_PROMPT}.interpolation_type", ("linear", "inv_prop", "normal")),
        image=str(keys.get(f"{model}.image_encoder_name")),
        text=text,
        rates={part: rate if rate > 0 else None for part, rate in rates.items()},
        seed=int(keys.get("runner_cfg.seed")),
        epochs=int(keys.get("trainer_cfg.max_epochs")),
        chosen_on_test=files[0] == files[1],
        whole=whole,
    )


@dataclass(frozen=True)
class _Keys:
    """A configuration whose missing or unsupported keys raise a ConfigError that names them."""

    path: Path
    whole: Any

    def get(self, key: str) -> Any:
        node = self.whole
        for word in key.split("."):
            if not isinstance(node, Mapping) or word not in node:
                remedy = "use the whole config.yaml that its run wrote beside its checkpoints"
                raise ConfigError("config", self.path, f"has no {key}", remedy=remedy)
            node = node[word]
        return node

    def one_of(self, key: str, allowed: tuple[str, ...]) -> Any:
        value = self.get(key)
        if value not in allowed:
            raise ConfigError("config", self.path, f"{key} is {value}", allowed=", ".join(allowed))
        return value


def _check_transforms(keys: _Keys) -> None:
    """Raises a ConfigError unless images are preprocessed as in the paper's configurations."""
    steps = keys.get("data_cfg.transforms_cfg.input_transforms")
    for step in ("random_resized_crop", "normalize"):
        if step not in steps:
            problem = f"data_cfg.transforms_cfg.input_transforms has no {step}, which is not supported"
            raise ConfigError("config", keys.path, problem)
    for key, value in _TRANSFORMS.items():
        given = keys.get(f"data_cfg.transforms_cfg.{key}")
        if list(given) != value:
            problem = f"data_cfg.transforms_cfg.{key} is {given}, which is not supported"
            raise ConfigError("config", keys.path, problem, allowed=str(value))


def read_rank_names(typed: str | None, settings: ReferenceSettings, config: Path) -> list[str] | None:
    """Reads one name per rank from the given file, or from the configured one if it is found.

    Args:
        typed: File with one name per line, or None.
        settings: Settings, which may name a file.
        config: Path of the configuration; the configured file is also searched in its folder.

    Returns:
        The names, or None if there are none. For the rank learner the file may have one name per base rank.

    Raises:
        ConfigError: If the given file cannot be read, or has another number of names.
    """
    if typed is not None:
        return rank_names_of({"rank_names": typed}, settings.num_ranks)
    if settings.rank_file is not None:
        for folder in (Path(), config.parent):
            if (folder / settings.rank_file).is_file():
                names = rank_names_of({"rank_names": str(folder / settings.rank_file)})
                return names if names is not None and len(names) == settings.num_ranks else None
    return None


def ranks_of(names: Sequence[str] | None, settings: ReferenceSettings) -> dict[str, Any]:
    """Returns `names`, `values` and `unit` of the ranks; values are the names if these are increasing numbers."""
    shown = [str(rank) for rank in range(settings.num_ranks)] if names is None else list(names)
    try:
        values = [float(name) for name in shown]
    except ValueError:
        values = []
    rising = all(low < high for low, high in pairwise(values))
    return {
        "names": shown,
        "values": values if values and rising else [float(r) for r in range(len(shown))],
        "unit": "",
    }


def backbone_config(settings: ReferenceSettings, clip: str) -> dict[str, Any]:
    """Returns the `backbone` group.

    Args:
        settings: Settings of the paper's code.
        clip: Weights of the CLIP that was fine-tuned: a path, a tag or `random`.
    """
    text = CLIP_MODELS[settings.text]
    readable = text.lower().replace("-", "_")
    if settings.has_clip_image:
        return {
            "_target_": "ordinalclip.backbones.openclip.build_openclip",
            "name": readable,
            "model": text,
            "weights": clip,
            "tag": "openai",  # decides QuickGELU
            "preprocessing": "reference",
        }
    return {
        "_target_": "ordinalclip.backbones.mixed.build_mixed",
        "name": f"{settings.image}_{readable}text",
        "image_library": "torchvision",
        "image_model": settings.image,
        "text_model": text,
        "weights": {"image": "random", "text": clip},  # the image tower is in the checkpoint
        "text_tag": "openai",
        "size": 224,
        "resize": "squash",
        "preprocessing": "reference",
    }


def prompt_config(
    settings: ReferenceSettings, state: dict[str, Tensor], names: Sequence[str] | None, path: Path
) -> dict[str, Any]:
    """Returns the `prompt` group with the lengths of the checkpoint.

    Args:
        settings: Settings of the paper's code.
        state: Tensors from `reference.checkpoint.read_checkpoint`.
        names: Names from which the plain learner's ranks were initialized, or None.
        path: Path of the checkpoint, for messages.

    Raises:
        ConfigError: If checkpoint, configuration and names contradict each other.
    """
    if settings.kind == "Baseline":
        ranks = shape_of(state, "last_project.weight", (2,), path)[0]
        _check_number(ranks, settings.num_ranks, "last_project.weight", "ranks", path)
        return {"_target_": "ordinalclip.prompts.linear.LinearPrompt", "name": "linear"}
    dims = 3 if settings.rank_specific_context else 2
    *_, num_context, _ = shape_of(state, "prompt_learner.context_embeds", (dims,), path)
    rows, longest, _ = shape_of(state, "prompt_learner.rank_embeds", (3,), path)
    shared = {
        "rank_init": "random",  # the checkpoint has the values
        "rank_position": settings.rank_position,
        "context": None,
        "num_context_tokens": num_context,
        "rank_specific_context": settings.rank_specific_context,
        "ending": ".",
    }
    if settings.learner == "RankPromptLearner":
        _check_number(rows, settings.num_base_ranks, "prompt_learner.rank_embeds", "base ranks", path)
        own = {"num_base_ranks": rows, "interpolation": settings.interpolation, "tokens_per_rank": longest}
        return {"_target_": "ordinalclip.prompts.rank.RankPrompt", "name": "rank"} | own | shared
    _check_number(rows, settings.num_ranks, "prompt_learner.rank_embeds", "ranks", path)
    counts = _tokens_per_rank(settings, names, longest)
    own = {"tokens_per_rank": counts}
    return {"_target_": "ordinalclip.prompts.context.ContextPrompt", "name": "context"} | own | shared


def _tokens_per_rank(settings: ReferenceSettings, names: Sequence[str] | None, longest: int) -> list[int]:
    """Returns the number of tokens of each rank of the plain learner: those of its name, or the configured number."""
    if longest == 1:
        return [1] * settings.num_ranks
    if settings.rank_file is None:
        given = settings.tokens_per_rank
        counts = [given] * settings.num_ranks if isinstance(given, int) else list(given)
    elif names is None:
        problem = f"the ranks were initialized from the names in {settings.rank_file}, which set each sentence's length"
        raise ConfigError("rank_names", "null", problem, allowed="that file, one name per line")
    else:
        from open_clip import SimpleTokenizer

        tokenizer = SimpleTokenizer()
        counts = [len(tokenizer.encode(name)) for name in names]
    if len(counts) != settings.num_ranks or max(counts) != longest or min(counts) < 1:
        problem = f"{len(counts)} ranks of up to {max(counts, default=0)} tokens"
        allowed = f"as in the checkpoint: {settings.num_ranks} ranks, the longest of {longest} tokens"
        raise ConfigError("rank_names", "…", problem, allowed=allowed)
    return counts


def trainable_config(settings: ReferenceSettings) -> dict[str, float | None]:
    """Returns the `trainable` group: part → learning rate, None if it was frozen."""
    projection = None if settings.has_clip_image else settings.rates["image"]
    if settings.kind == "Baseline":
        nothing = dict.fromkeys(("context", "rank", "head", "text", "logit_scale"))
        return nothing | {"projection": projection, "image": settings.rates["image"]}
    return {"head": None, "projection": projection} | settings.rates


def known_defects(settings: ReferenceSettings) -> list[str]:
    """Returns known defects of how the paper's code trains such a checkpoint, for the record."""
    found = []
    if settings.chosen_on_test:
        found.append("validation and test are the same file: the epoch was chosen on the test set")
    if settings.kind == "Baseline":
        found.append("the head was in no parameter group of the optimizer: it kept its random initial values")
    if settings.has_clip_image:
        found.append("images for CLIP's image tower were normalized with ImageNet's mean and std instead of CLIP's")
    if settings.interpolation == "normal" and settings.learner == "RankPromptLearner" and settings.kind != "Baseline":
        found.append("its weights of `normal` are 0/0 where all base ranks are far away; here they are finite")
    if settings.rates["image"] is None:
        found.append("a frozen image tower was in training mode: its BatchNorm statistics and Dropout were not frozen")
    return found


def shape_of(state: Mapping[str, Tensor], name: str, ndims: Sequence[int], path: Path) -> list[int]:
    """Returns the shape of a tensor; raises a ConfigError if it is missing or has none of the numbers of dimensions."""
    if name not in state or state[name].ndim not in ndims:
        found = "missing" if name not in state else f"of shape {list(state[name].shape)}"
        raise ConfigError("ckpt", path, f"{name} is {found}, which contradicts its config")
    return list(state[name].shape)


def _check_number(found: int, configured: int, name: str, what: str, path: Path) -> None:
    if found != configured:
        raise ConfigError("ckpt", path, f"{name} has {found} {what}; its config has {configured}")
