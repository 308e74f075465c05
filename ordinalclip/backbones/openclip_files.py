"""Weights of open_clip's models, read into a whole model or into one half of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ordinalclip.backbones.openclip_model import empty_model, quiet
from ordinalclip.backbones.weight_paths import is_torchscript
from ordinalclip.errors import ConfigError


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
    """Whatever a foreign file makes a foreign loader raise, told as the file's."""
    try:
        yield
    except Exception as error:
        said = " ".join(str(error).split()[:40])
        raise ConfigError(key, path, f"the file does not fit {model}: {type(error).__name__}: {said}") from error
