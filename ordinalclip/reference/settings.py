"""What a configuration of the paper's code says about its model, read and checked; nothing of it is run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ordinalclip.errors import ConfigError

# CLIP's names there → open_clip's. Everything else that stands as an image encoder is a network of torchvision.
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
        ConfigError: it cannot be read, lacks a key, or says what cannot be expressed here.
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
    """Looks keys up in a configuration, and tells which one is missing."""

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
