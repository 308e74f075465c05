"""CLIP and its kin from open_clip: any of its models that has CLIP's causal text tower."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from ordinalclip.adapters import LinearProjection, ResidualAdapter
from ordinalclip.backbones.backbone import Backbone
from ordinalclip.backbones.text_tower import text_tower_of
from ordinalclip.backbones.weights import WeightFile, is_torchscript, names_a_path
from ordinalclip.errors import ConfigError
from ordinalclip.preprocessing import Preprocessing
from ordinalclip.signatures import Between


def build_openclip(
    *,
    model: str,
    tag: str | None = None,
    size: Annotated[int, Between(16, None)] | None = None,
    projection: Literal["none", "adapter", "linear"] = "none",
    adapter_width: Annotated[int, Between(1, None)] = 256,
    adapter_share: Annotated[float, Between(0, None)] = 1.0,
    weights: Mapping[str, WeightFile],
) -> Backbone:
    """Build an open_clip model.

    What the published weights were trained with decides the activation (QuickGELU or not) and the preprocessing: a file
    without that is silently a worse model.

    Args:
        model: open_clip's name, such as `ViT-B-16`.
        tag: whose weights a file is (`openai`, …) where `weights` names a path; `config` is the model's configuration
            with CLIP's mean and deviation. TorchScript archives are OpenAI's. Not needed with published weights.
        size: pixels of the image's side; None is the model's. Position embeddings are interpolated.
        projection: of image features; "none" is right where both towers come from one CLIP.
        adapter_width: hidden width of the adapter.
        adapter_share: weight of the adapter's residual.
        weights: part "all".

    Raises:
        ConfigError: if the file is not of this model, or the model's images cannot be prepared.
    """
    if set(weights) != {"all"}:
        allowed = "one tag, path or random: both towers are in one file"
        raise ConfigError("backbone.weights", dict.fromkeys(weights, "…"), "are several files", allowed=allowed)
    file = weights["all"]
    origin = _origin(file, tag)
    published = _published(model, origin)
    clip = _empty_model(model, quick_gelu=published.get("quick_gelu"), size=size)
    if file.path is not None:
        _load(clip, file.path, model)
    text = text_tower_of(clip, model)
    return Backbone(
        image=clip.visual,
        text=text,
        projection=_image_projection(projection, text.embed_dim, adapter_width, adapter_share),
        logit_scale=float(clip.logit_scale.detach()),
        preprocessing=_preprocessing(clip.visual, published, model),
        feature_dim=text.embed_dim,
        embed_dim=text.embed_dim,
    )


def _origin(file: WeightFile, tag: str | None) -> str | None:
    """The tag that says how the weights were trained, if any does."""
    if file.path is None:
        return tag
    if not names_a_path(file.source):
        return file.source
    return "openai" if tag is None and is_torchscript(file.path) else tag


def _published(model: str, tag: str | None) -> dict[str, Any]:
    import open_clip

    if tag is None or tag == "config":
        return {}
    # OpenAI's archives may be of models that open_clip does not list them for; all of them use QuickGELU.
    return dict(open_clip.get_pretrained_cfg(model, tag) or {"quick_gelu": tag == "openai"})


def _empty_model(model: str, *, quick_gelu: bool | None, size: int | None) -> Any:
    import open_clip

    config = open_clip.get_model_config(model)
    wanted = bool(config.get("quick_gelu", False)) if quick_gelu is None else quick_gelu
    with _quiet():
        return open_clip.create_model(model, pretrained=None, force_quick_gelu=wanted, force_image_size=size)


def _load(clip: Any, path: Path, model: str) -> None:
    import open_clip

    try:
        with _quiet():
            if is_torchscript(path):
                clip.load_state_dict(_archive_state(path))
            else:
                open_clip.load_checkpoint(clip, str(path))
    except Exception as error:  # whatever a foreign file makes a foreign loader raise
        said = " ".join(str(error).split()[:40])
        problem = f"the file does not fit {model}: {type(error).__name__}: {said}"
        raise ConfigError("backbone.weights", path, problem) from error


def _archive_state(path: Path) -> dict[str, Tensor]:
    """The tensors of OpenAI's archives, in float32; the three integers among them are settings."""
    state = torch.jit.load(str(path), map_location="cpu").state_dict()
    settings = ("input_resolution", "context_length", "vocab_size")
    return {name: tensor.float() for name, tensor in state.items() if name not in settings}


def _preprocessing(visual: Any, published: Mapping[str, Any], model: str) -> Preprocessing:
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    ways: dict[str, Literal["squash", "crop"]] = {"shortest": "crop", "squash": "squash"}
    way = published.get("resize_mode", "shortest")
    height, width = visual.image_size if isinstance(visual.image_size, tuple | list) else (visual.image_size,) * 2
    if way not in ways or height != width:
        problem = f"images of {height} × {width} pixels by the way {way!r} are not provided for"
        raise ConfigError("backbone.model", model, problem)
    return Preprocessing(
        size=int(height),
        mean=tuple(published.get("mean", OPENAI_DATASET_MEAN)),
        std=tuple(published.get("std", OPENAI_DATASET_STD)),
        interpolation=published.get("interpolation", "bicubic"),
        resize=ways[way],
    )


def _image_projection(kind: Literal["none", "adapter", "linear"], dim: int, width: int, share: float) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    if kind == "linear":
        return LinearProjection(feature_dim=dim, embed_dim=dim)
    return ResidualAdapter(feature_dim=dim, embed_dim=dim, width=width, share=share)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what open_clip says about weights that are missing at this point, and torch about archives' age."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
