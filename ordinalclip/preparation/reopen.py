"""A finished run opened again: its settings and ranks from its record, its model as it was at its best epoch."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from safetensors.numpy import load_file

from ordinalclip.backbones.weights.find import WeightFile, find_weights
from ordinalclip.config.moved_names import current_names
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.runs.find import check_finished
from ordinalclip.runs.run import Run, check_record_sums
from ordinalclip.system.checksums import cached_sha256

if TYPE_CHECKING:  # a record is read without torch
    from ordinalclip.model import OrdinalCLIP

_PREFIX = "model."
_TOLERANCE = 1e-2  # of unit vectors' components: other machines round otherwise, another model is further off


@dataclass(frozen=True)
class Record:
    """The record of a finished run.

    Attributes:
        run: its directory.
        cfg: its configuration, `paths` being those of this machine.
        identity: what its id is the hash of.
        weights: part → weight file of the backbone, the same to the byte as when it was made.
        rank_names: one a rank.
        rank_values: one a rank, in the data set's unit.
        unit: of the values.
    """

    run: Run
    cfg: dict[str, Any]
    identity: dict[str, Any]
    weights: dict[str, WeightFile]
    rank_names: tuple[str, ...]
    rank_values: tuple[float, ...]
    unit: str


def recorded_cfg(run: Run, key: str = "run") -> dict[str, Any]:
    """The configuration of a finished run.

    Raises:
        ConfigError: the run is not finished, or its record has no configuration.
        DataError: what its model is opened from was damaged, or changed since.
    """
    check_finished(run, key)
    check_record_sums(run)
    file = run.directory / "config.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
    if not isinstance(content, dict):
        raise ConfigError(key, run.directory, "its record has no config.yaml")
    return current_names(content)


def open_record(run: Run, cfg: dict[str, Any]) -> Record:
    """Checks that all is there that a finished run's model takes; imports no torch.

    Args:
        run: a finished run.
        cfg: from `recorded_cfg`; paths, and where weights lie, may have been changed.

    Raises:
        ConfigError: the checkpoint is missing, or a weight file is missing or another one.
    """
    ranks, identity = run.read_json("ranks.json"), run.read_json("identity.json")
    if ranks is None or identity is None:
        missing = "ranks.json" if ranks is None else "identity.json"
        remedy = "the run was made before runs could be reopened, or was damaged: rerun=true makes it anew"
        raise ConfigError("run", run.directory, f"its record has no {missing}", remedy=remedy)
    if run.status().get("epoch", 0) > 0 and not run.best_checkpoint.is_file():
        raise ConfigError("run", run.directory, "its ckpt/best.ckpt is missing", remedy="rerun=true makes it anew")
    weights = find_weights(cfg["backbone"], Path(cfg["paths"]["cache"]))
    for part, file in weights.items():
        made_with = identity["backbone"]["weights"].get(part)
        if file.sha256 != made_with:
            key = "backbone.weights" if part == "all" else f"backbone.weights.{part}"
            problem = f"is not the file that the run was made with (SHA-256 {file.sha256[:12]}, then {made_with})"
            raise ConfigError(key, file.source, problem, remedy=f"name the right one: {key}=<path>")
    return Record(run, cfg, identity, weights, tuple(ranks["names"]), tuple(ranks["values"]), ranks["unit"])


def load_run(record: Record) -> "OrdinalCLIP":
    """The model of a finished run, frozen, in eval mode, on the CPU.

    Raises:
        DataError: the checkpoint does not fit the configuration, or the model is not the one that was recorded.
    """
    model = rebuild(record)
    recorded = load_file(record.run.directory / "rank_features.safetensors")["rank_features"]
    now = model.rank_features().numpy()
    if now.shape != recorded.shape or np.abs(now - recorded).max() > _TOLERANCE:
        raise DataError(
            f"{record.run.directory}: the model that was reopened has other rank features than those recorded\n"
            "  what to do: rerun=true makes the run anew; its files do not belong together, or the code has changed"
        )
    return model


def rebuild(record: Record) -> "OrdinalCLIP":
    """The model that a configuration describes, with a checkpoint's values.

    Raises:
        DataError: the checkpoint does not fit the configuration.
    """
    import torch

    from ordinalclip.preparation.build import build_model

    path = record.run.best_checkpoint
    state: dict[str, torch.Tensor] = {}
    if path.is_file():
        saved = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        state = {name.removeprefix(_PREFIX): tensor for name, tensor in saved.items()}
    towers = [tower for tower in ("image", "text") if any(name.startswith(f"backbone.{tower}.") for name in state)]
    model = build_model(record.cfg, record.weights, record.rank_names, own=towers)
    own = model.state_dict()
    for name, tensor in state.items():
        if name not in own or own[name].shape != tensor.shape:
            there = list(own[name].shape) if name in own else "nothing"
            raise DataError(f"{path}: {name} is {list(tensor.shape)}; the model that config.yaml describes has {there}")
    with torch.no_grad():
        for name, tensor in state.items():
            own[name].copy_(tensor)
    if "image" in towers:  # its features are not those of the weight file
        key = f"{model.backbone.tower_key} {cached_sha256(path, Path(record.cfg['paths']['cache']))}"
        model.backbone.tower_key = hashlib.sha256(key.encode()).hexdigest()
    model.eval().requires_grad_(False)
    return model
