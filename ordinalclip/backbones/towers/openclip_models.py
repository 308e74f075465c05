"""open_clip's models: a whole model or one half of it, with the activation, weights and preprocessing of its tag.

`LeanQuickGELU` computes x * sigmoid(1.702 x) as silu(1.702 x) / 1.702, which keeps one tensor for the backward pass.
Written as a product it keeps two of the widest activations of a transformer. `OpenClipNetwork` is an image tower alone.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ordinalclip.backbones.weights.find import WeightFile, names_a_path
from ordinalclip.backbones.weights.paths import is_torchscript
from ordinalclip.errors import ConfigError
from ordinalclip.images.preprocessing import Preprocessing

SLOPE = 1.702  # of CLIP's released code

# In place of the half that is not wanted.
_SMALLEST = {
    "vision_cfg": {"image_size": 32, "patch_size": 32, "width": 8, "layers": 1, "head_width": 8},
    "text_cfg": {"context_length": 2, "vocab_size": 2, "width": 8, "heads": 1, "layers": 1},
}
_OTHER_HALF = {"image": "text_cfg", "text": "vision_cfg"}


class LeanQuickGELU(nn.Module):
    """QuickGELU of any shape; the same numbers but for rounding, and derivatives of any order."""

    def forward(self, x: Tensor) -> Tensor:
        """The activation of any numbers, each by itself."""
        if x.dtype == torch.float16:  # whose numbers end at 65504: beyond a 1.702th of that, 1.702 x is infinite
            return x * torch.sigmoid(SLOPE * x)
        # SiLU keeps what it was given, so its result may be written over.
        return F.silu(SLOPE * x).div_(SLOPE)


def replace_quick_gelu(module: nn.Module) -> None:
    """Puts `LeanQuickGELU` in the place of each of open_clip's QuickGELUs within a module; they have no state."""
    from open_clip.transformer import QuickGELU

    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is QuickGELU:
                setattr(parent, name, LeanQuickGELU().train(child.training))


def origin(file: WeightFile, tag: str | None) -> str | None:
    """The tag that describes how the weights of a file were trained, or None.

    Args:
        file: the weights.
        tag: as in the configuration.
    """
    if file.path is None:
        return tag
    if not names_a_path(file.source):
        return file.source
    return "openai" if tag is None and is_torchscript(file.path) else tag


def published_settings(model: str, tag: str | None) -> dict[str, Any]:
    """What open_clip knows about the training of published weights: activation, mean, way of resizing.

    Without a tag it is how images are prepared for all published weights of the model: its configuration does not say.
    """
    import open_clip

    if tag == "config":
        return {}
    if tag is None:
        tags = open_clip.list_pretrained_tags_by_model(model)
        return _agreed([open_clip.get_pretrained_cfg(model, tag) for tag in tags])
    # OpenAI's archives may be of models that open_clip does not list them for; all of them use QuickGELU.
    return dict(open_clip.get_pretrained_cfg(model, tag) or {"quick_gelu": tag == "openai"})


def _agreed(published: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    keys = ("mean", "std", "interpolation", "resize_mode")
    first = published[0] if published else {}
    return {
        key: first[key] for key in keys if key in first and all(other.get(key) == first[key] for other in published)
    }


def empty_model(
    model: str,
    *,
    quick_gelu: bool | None,
    size: int | None = None,
    only: Literal["image", "text"] | None = None,
    text_folder: Path | None = None,
) -> Any:
    """A model with random weights.

    Args:
        model: open_clip's name.
        quick_gelu: the activation; None is that of the model's configuration.
        size: pixels of the image's side; None is the model's.
        only: the half that is wanted; the other one is as small as can be.
        text_folder: of `find_tokenizer`; has the architecture of a text encoder that is Hugging Face's.
    """
    import open_clip

    config = open_clip.get_model_config(model)
    wanted = bool(config.get("quick_gelu", False)) if quick_gelu is None else quick_gelu
    halves: dict[str, Any] = {}
    if config["text_cfg"].get("hf_model_name"):
        # Its weights are in the file of the whole model, never fetched by themselves.
        halves["text_cfg"] = config["text_cfg"] | {"hf_model_name": str(text_folder), "hf_model_pretrained": False}
    if only is not None:
        halves[_OTHER_HALF[only]] = dict(_SMALLEST[_OTHER_HALF[only]])
    with quiet():
        clip = open_clip.create_model(
            model, pretrained=None, pretrained_text=False, force_quick_gelu=wanted, force_image_size=size, **halves
        )
    if getattr(clip.visual, "output_tokens", False):
        clip.visual.output_tokens = False  # CoCa writes captions from them; we want the image's feature
    replace_quick_gelu(clip)
    return clip


def preprocessing_of(
    image_size: Any, published: Mapping[str, Any], model: str, key: str = "backbone.model"
) -> Preprocessing:
    """How images enter the image tower of a model.

    Args:
        image_size: pixels of the tower's images, one number or two.
        published: from `published_settings`.
        model: open_clip's name.
        key: of the name, for errors.

    Raises:
        ConfigError: for a way that is not provided for.
    """
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    ways: dict[str, Literal["squash", "crop"]] = {"shortest": "crop", "squash": "squash"}
    way = published.get("resize_mode", "shortest")
    height, width = image_size if isinstance(image_size, tuple | list) else (image_size, image_size)
    if way not in ways or height != width:
        raise ConfigError(key, model, f"images of {height} × {width} pixels by the way {way!r} are not provided for")
    return Preprocessing(
        size=int(height),
        mean=tuple(published.get("mean", OPENAI_DATASET_MEAN)),
        std=tuple(published.get("std", OPENAI_DATASET_STD)),
        interpolation=published.get("interpolation", "bicubic"),
        resize=ways[way],
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Silences open_clip's warning about weights that are missing at this point, and torch's about old archives."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def load_whole(clip: Any, path: Path, model: str, key: str = "backbone.weights") -> None:
    """Fills both towers of a model; the image tower's positions are interpolated where it has another size.

    Raises:
        ConfigError: if the file is of another model.
    """
    import open_clip
    from open_clip.model import resize_pos_embed

    with _named(path, model, key), quiet():
        if is_torchscript(path):
            state = _archive_state(path)
            resize_pos_embed(state, clip)
            clip.load_state_dict(state)
        else:
            open_clip.load_checkpoint(clip, str(path))


def load_half(
    model: str,
    path: Path | None,
    *,
    only: Literal["image", "text"],
    quick_gelu: bool | None,
    size: int | None = None,
    text_folder: Path | None = None,
    key: str,
) -> Any:
    """A model of which one half, "image" or "text" with the logit scale, is real and filled from a file.

    Args:
        model: open_clip's name.
        path: weights of the whole model or of that half; None is random weights.
        only: which half.
        quick_gelu: the activation; None is that of the model's configuration.
        size: pixels of the image's side; None is the model's.
        text_folder: as of `empty_model`.
        key: of the weights, for errors.

    Raises:
        ConfigError: if the file is of another model.
    """
    from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed

    state = None if path is None else _own_state(path, model, key)
    if path is not None and state is None:
        clip = empty_model(model, quick_gelu=quick_gelu, size=size, text_folder=text_folder)
        load_whole(clip, path, model, key)
        return clip
    clip = empty_model(model, quick_gelu=quick_gelu, size=size, only=only, text_folder=text_folder)
    if path is None or state is None:
        return clip
    with _named(path, model, key):
        state = {name: tensor for name, tensor in state.items() if name.startswith("visual.") == (only == "image")}
        if only == "image":
            resize_pos_embed(state, clip)
        else:
            if not hasattr(clip, "positional_embedding"):
                state = convert_to_custom_text_state_dict(state)
            for name in ("logit_scale", "logit_bias"):
                if name in state and getattr(clip, name) is not None:
                    state[name] = state[name].reshape(getattr(clip, name).shape)
            state.pop("text.transformer.embeddings.position_ids", None)  # constants that old versions kept
            resize_text_pos_embed(state, clip)
        found = clip.load_state_dict(state, strict=False)
        missing = [name for name in found.missing_keys if name.startswith("visual.") == (only == "image")]
        if missing or found.unexpected_keys:
            raise ValueError(f"missing {missing[:4]}, surplus {found.unexpected_keys[:4]}")
    return clip


def _archive_state(path: Path) -> dict[str, Tensor]:
    """The tensors of OpenAI's archives, in float32; the three integers among them are settings."""
    state = torch.jit.load(str(path), map_location="cpu").state_dict()
    settings = ("input_resolution", "context_length", "vocab_size")
    return {name: tensor.float() for name, tensor in state.items() if name not in settings}


def _own_state(path: Path, model: str, key: str) -> dict[str, Tensor] | None:
    """The tensors of a file under open_clip's names; None where only its own loader knows them."""
    import open_clip

    if path.suffix in (".npz", ".npy"):
        return None
    with _named(path, model, key), quiet():
        state = _archive_state(path) if is_torchscript(path) else open_clip.factory.load_state_dict(str(path))
    return None if any(name.startswith("image_encoder.") for name in state) else state


@contextmanager
def _named(path: Path, model: str, key: str) -> Iterator[None]:
    """Turns any error of open_clip's loaders into a ConfigError that names the file."""
    try:
        yield
    except Exception as error:
        said = " ".join(str(error).split()[:40])
        raise ConfigError(key, path, f"the file does not fit {model}: {type(error).__name__}: {said}") from error


class OpenClipNetwork:
    """Implements `mixed.ImageNetwork`; the tower keeps its own projection, into the space that it was trained in.

    Args:
        model: open_clip's name.
        tag: whose weights they are: decides activation and preprocessing; None is the model's configuration.
        size: pixels of the image's side; None is the model's. Position embeddings are interpolated.
        resize: None is that of the weights.
    """

    published = True

    def __init__(
        self, *, model: str, tag: str | None, size: int | None, resize: Literal["squash", "crop"] | None
    ) -> None:
        import open_clip

        self.model, self.size = model, size
        settings = published_settings(model, tag)
        self.quick_gelu: bool | None = settings.get("quick_gelu")
        if resize is not None:
            settings["resize_mode"] = {"crop": "shortest", "squash": "squash"}[resize]
        own_size = open_clip.get_model_config(model)["vision_cfg"].get("image_size", 224)
        self.preprocessing = preprocessing_of(
            own_size if size is None else size, settings, model, "backbone.image_model"
        )

    def create(self) -> nn.Module:
        """The tower with random weights."""
        return cast(nn.Module, empty_model(self.model, quick_gelu=self.quick_gelu, size=self.size, only="image").visual)

    def last_layer(self, net: nn.Module) -> str | None:
        """None: nothing is replaced."""
        return None

    def tower(self, file: WeightFile) -> nn.Module:
        """The tower with weights from a file of the whole model or of its image half."""
        clip = load_half(
            self.model,
            file.path,
            only="image",
            quick_gelu=self.quick_gelu,
            size=self.size,
            key="backbone.weights.image",
        )
        return cast(nn.Module, clip.visual)

    def without_last_layer(self, net: nn.Module) -> nn.Module:
        """The tower as it is."""
        return net
