"""Builds the objects of a configuration: the model from backbone and prompt, with its initial values, and others.

Initial values of a new run are copied from another run's checkpoint, part by part.
"""

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class
from torch import Tensor

from ordinalclip.backbones.load import load_backbone
from ordinalclip.backbones.weights.find import WeightFile
from ordinalclip.config.checks import DESCRIPTIVE
from ordinalclip.errors import ConfigError
from ordinalclip.model import OrdinalCLIP
from ordinalclip.preparation.initial_values import InitialFile
from ordinalclip.prompts.checks import rank_names_of

log = logging.getLogger(__name__)

_PREFIX = "model."  # names in checkpoints are those of an OrdinalModule
_TOWERS = ("image", "text")


@dataclass(frozen=True)
class InitialValues:
    """Initial values that were read from a checkpoint.

    Attributes:
        file: path of the checkpoint, and the parts to copy.
        state: tensors of the checkpoint, named as in `OrdinalCLIP`.
    """

    file: InitialFile
    state: dict[str, Tensor]

    def towers(self) -> set[str]:
        """The towers, `image` and `text`, whose values are copied."""
        wanted = _TOWERS if self.file.parts is None else set(_TOWERS) & set(self.file.parts)
        return {tower for tower in wanted if any(name.startswith(f"backbone.{tower}.") for name in self.state)}

    def copy_into(self, model: OrdinalCLIP) -> None:
        """Copies values into a model, and stores their names in `model.initialised`.

        Args:
            model: its towers in `towers()` must not be shared with other models.

        Raises:
            ConfigError: a part is missing in the checkpoint or the model, incomplete, or of another shape.
        """
        own, groups = model.state_dict(), names_by_part(model)
        taken: dict[str, set[str]] = {}
        for part in groups if self.file.parts is None else self.file.parts:
            there = groups[part] & self.state.keys()
            if there:
                taken[part] = there
                self._check_complete(part, groups[part] - there)
            elif self.file.parts is not None:
                self._refuse_part(part, groups)
        self._check_strangers(set(own))
        names = sorted(set().union(*taken.values()))
        for name in names:
            self._check_shape(name, own[name])
        with torch.no_grad():
            for name in names:
                own[name].copy_(self.state[name])
        model.initialised = frozenset(names)
        if "image" in taken:  # its features are not those of the weight file
            key = f"{model.backbone.tower_key} {self.file.sha256}"
            model.backbone.tower_key = hashlib.sha256(key.encode()).hexdigest()
        left = [part for part, members in groups.items() if members and part not in taken]
        what = (self.file.path, self.file.sha256[:12], _listed(list(taken)), _listed(left))
        log.info("initial values from %s (%s): %s; not from it: %s", *what)

    def _refuse_part(self, part: str, groups: dict[str, set[str]]) -> None:
        problem = "this run's model has no such part" if not groups[part] else "it was frozen there, so it is not in it"
        there = [name for name, names in groups.items() if names & self.state.keys()]
        raise ConfigError("init.parts", list(self.file.parts or ()), f"{part}: {problem}", allowed=_listed(there))

    def _check_complete(self, part: str, missing: set[str]) -> None:
        if missing:
            problem = f"has not all of the part {part}: {_listed(sorted(missing))} missing"
            self._refuse(problem, f"leave {part} out of init.parts")

    def _check_strangers(self, own: set[str]) -> None:
        strangers = sorted(self.state.keys() - own)
        if strangers and self.file.parts is None:
            problem = f"has values that this run's model has no place for: {_listed(strangers)}"
            self._refuse(problem, "name the parts to take, such as init.parts=[context]")

    def _check_shape(self, name: str, ours: Tensor) -> None:
        theirs = self.state[name]
        if theirs.shape != ours.shape:
            problem = f"{name} has the shape {list(theirs.shape)} there and {list(ours.shape)} here"
            self._refuse(problem, "make the settings equal that decide it, or leave its part out of init.parts")

    def _refuse(self, problem: str, remedy: str) -> None:
        raise ConfigError("init.checkpoint", self.file.path, problem, remedy=remedy)


def read_initial_values(file: InitialFile) -> InitialValues:
    """Reads a checkpoint with `weights_only=True`, so that no code in it is run.

    Raises:
        ConfigError: the file is not a checkpoint, or one of another program.
    """
    try:
        content = torch.load(file.path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises errors of any type for other files
        problem = f"cannot be read: {type(error).__name__}: {' '.join(str(error).split()[:30])}"
        raise ConfigError("init.checkpoint", file.path, problem) from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(name.startswith(_PREFIX) for name in state):
        remedy = "python -m ordinalclip.import_reference makes a run of a checkpoint of the paper's code"
        raise ConfigError("init.checkpoint", file.path, "is a checkpoint of another program", remedy=remedy)
    return InitialValues(file, {name.removeprefix(_PREFIX): tensor for name, tensor in state.items()})


def initial_state_dict(model: OrdinalCLIP) -> dict[str, Tensor]:
    """State dict of a run that copied initial values and trained nothing."""
    state = model.state_dict()
    return {f"{_PREFIX}{name}": state[name].detach().cpu() for name in sorted(model.initialised)}


def names_by_part(model: OrdinalCLIP) -> dict[str, set[str]]:
    """Part → names of its parameters and saved buffers; may be empty."""
    groups = {part: {name for name, _ in parameters} for part, parameters in model.parts().items()}
    for part in ("projection", *_TOWERS):
        groups[part] |= {name for name in model.state_dict() if name.startswith(f"backbone.{part}.")}
    return groups


def _listed(names: Sequence[str]) -> str:
    more = f" … and {len(names) - 3} more" if len(names) > 7 else ""
    return ", ".join(names[:3] if more else names) + more or "nothing"


def build_model(
    cfg: Mapping[str, Any],
    weights: Mapping[str, WeightFile],
    rank_names: Sequence[str],
    initial: InitialFile | None = None,
    own: Collection[str] = (),
) -> OrdinalCLIP:
    """Builds backbone and prompt of a configuration. Random initial values depend on its seed only.

    Args:
        cfg: a configuration from `plain_config`.
        weights: part → file of the backbone's weights.
        rank_names: names of the R ranks; names in the settings of the prompt take precedence.
        initial: checkpoint whose values are copied afterwards.
        own: frozen towers, `image` or `text`, that the caller writes to, so that they must not be shared.

    Raises:
        ConfigError: for settings that do not fit together, or initial values that do not fit the model.
    """
    values = None if initial is None else read_initial_values(initial)
    copied = {*own, *(() if values is None else values.towers())}
    backbone = load_backbone(
        cfg["backbone"],
        weights=weights,
        trainable=cfg["trainable"] | dict.fromkeys(copied, 1.0),
        cache_dir=Path(cfg["paths"]["cache"]),
        seed=cfg["seed"],
    )
    # Seeded again: a backbone that is cached in this process draws nothing.
    torch.manual_seed(cfg["seed"])
    given = rank_names_of(cfg["prompt"])
    names = rank_names if given is None else given
    prompt = build(cfg["prompt"], "prompt", text=backbone.text, embed_dim=backbone.embed_dim, rank_names=names)
    model = OrdinalCLIP(backbone, prompt)
    if values is not None:
        values.copy_into(model)
    return model


def build(node: Mapping[str, Any], group: str, **runtime: Any) -> Any:
    """Instantiates the `_target_` of a group with its options and with `runtime` arguments."""
    skipped = ("_target_", *DESCRIPTIVE.get(group, ()))
    return get_class(node["_target_"])(**{k: v for k, v in node.items() if k not in skipped}, **runtime)
