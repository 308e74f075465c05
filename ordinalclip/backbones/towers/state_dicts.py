"""Plain state dicts, as training scripts leave them behind: read, unwrapped and compared with a network."""

import logging
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ordinalclip.errors import ConfigError

log = logging.getLogger(__name__)

_WRAPPERS = ("state_dict", "model")
_PARALLEL = "module."


@dataclass(frozen=True)
class FittedState:
    """A state dict that fits a network.

    Attributes:
        body: every tensor of the network but those of its last layer.
        last: those of the file's last layer, whatever their shapes.
    """

    body: dict[str, Tensor]
    last: dict[str, Any]


def read_plain(path: Path, key: str) -> dict[str, Any]:
    """What a file holds by name, out of `state_dict` or `model` and without the prefix of parallel training.

    Args:
        path: a safetensors file, or one of `torch.save`; nothing in it is executed.
        key: of the weights, for errors.

    Raises:
        ConfigError: if the file is something else.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return _unwrapped(load_file(path))
        # Mapped where the format allows it: names and shapes are often all that is asked for.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # whatever a foreign file makes the readers raise
        said = " ".join(str(error).split()[:30])
        raise ConfigError(key, path, f"is no file of tensors: {type(error).__name__}: {said}") from error
    if not isinstance(state, Mapping):
        raise ConfigError(key, path, f"holds a {type(state).__name__}, not tensors by name")
    return _unwrapped(state)


def fit_state(
    state: Mapping[str, Any], net: Mapping[str, Tensor], *, last: str | None, path: Path, key: str
) -> FittedState:
    """Compares a state dict with a network's.

    Args:
        state: from `read_plain`.
        net: the network's own state dict; its tensors may be on the device "meta".
        last: name of the network's last layer, if it has one.
        path: the file, for messages.
        key: of the weights, for errors.

    Raises:
        ConfigError: naming tensors that are missing, surplus or of another shape, but for the last layer's.
    """
    head = () if last is None else (f"{last}.weight", f"{last}.bias")
    body = {_renamed(name): tensor for name, tensor in state.items() if name not in head}
    wanted = {name: tensor for name, tensor in net.items() if name not in head}
    # Counters of BatchNorm, which files from before torch 0.4.1 do not have.
    for name in wanted.keys() - body.keys():
        if name.endswith(".num_batches_tracked"):
            body[name] = torch.tensor(0)
    problems = {
        "missing": [name for name in wanted if name not in body],
        "surplus": [name for name in body if name not in wanted],
        "of another shape": [name for name in wanted if name in body and _shape(body[name]) != _shape(wanted[name])],
    }
    said = "; ".join(f"{what}: {_some(names)}" for what, names in problems.items() if names)
    if said:
        raise ConfigError(key, path, f"does not fit the network ({said})", allowed="a state dict of this network")
    return FittedState(body, {name: state[name] for name in head if name in state})


def initial_projection(last: Mapping[str, Any], *, feature_dim: int, embed_dim: int, path: Path) -> Tensor | None:
    """The last layer's weight [D, F] if it is one without bias; logs what becomes of the layer.

    Args:
        last: from `fit_state`.
        feature_dim: F.
        embed_dim: D.
        path: the file, for the message.
    """
    shapes = ", ".join(f"{name} {list(_shape(value) or ())}" for name, value in last.items())
    weights = [value for name, value in last.items() if name.endswith(".weight")]
    if len(last) == 1 and weights and _shape(weights[0]) == (embed_dim, feature_dim):
        log.info("%s: its last layer (%s) is where the projection starts", path.name, shapes)
        return weights[0].detach().float().clone()
    what = f"its last layer is left out ({shapes})" if last else "it has no last layer"
    log.info("%s: %s; the projection [%d, %d] starts at random", path.name, what, embed_dim, feature_dim)
    return None


def _unwrapped(state: Mapping[str, Any]) -> dict[str, Any]:
    for wrapper in _WRAPPERS:
        if isinstance(state.get(wrapper), Mapping):
            return _unwrapped(state[wrapper])
    if state and all(str(name).startswith(_PARALLEL) for name in state):
        return _unwrapped({str(name).removeprefix(_PARALLEL): tensor for name, tensor in state.items()})
    return {str(name): tensor for name, tensor in state.items()}


def _renamed(name: str) -> str:
    """DenseNets were published with layers called `norm.1`, which no module can be called any more."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name)


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
