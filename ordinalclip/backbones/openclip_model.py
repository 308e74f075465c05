"""open_clip's models, whole or one half of them, with the activation and the preprocessing of their weights."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from ordinalclip.backbones.lean_quick_gelu import lean_quick_gelu
from ordinalclip.backbones.weights import WeightFile, is_torchscript, names_a_path
from ordinalclip.errors import ConfigError
from ordinalclip.preprocessing import Preprocessing

# In place of the half that is not wanted.
_SMALLEST = {
    "vision_cfg": {"image_size": 32, "patch_size": 32, "width": 8, "layers": 1, "head_width": 8},
    "text_cfg": {"context_length": 2, "vocab_size": 2, "width": 8, "heads": 1, "layers": 1},
}
_OTHER_HALF = {"image": "text_cfg", "text": "vision_cfg"}


def origin(file: WeightFile, tag: str | None) -> str | None:
    """The tag that says how the weights of a file were trained, if any does.

    Args:
        file: the weights.
        tag: what the configuration says.
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
    lean_quick_gelu(clip)
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
    """Silences what open_clip says about weights that are missing at this point, and torch about archives' age."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
