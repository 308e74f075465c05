"""Opens finished runs: settings and ranks from the record, and the model of the best epoch."""

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
_TOLERANCE = 1e-2  # of components of unit vectors: machines round differently, but other models differ by more


@dataclass(frozen=True)
class Record:
    """The record of a finished run.

    Attributes:
        run: the run directory.
        cfg: the configuration, with the `paths` of this machine.
        identity: the values whose hash is the run id.
        weights: part → weight file of the backbone, with the SHA-256 that was recorded.
        rank_names: R names.
        rank_values: R values in `unit`.
        unit: unit of the data set.
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
        DataError: a file of the record was damaged or changed.
    """
    check_finished(run, key)
    check_record_sums(run)
    file = run.directory / "config.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
    if not isinstance(content, dict):
        raise ConfigError(key, run.directory, "its record has no config.yaml")
    return current_names(content)


def open_record(run: Run, cfg: dict[str, Any]) -> Record:
    """Opens a record, and checks that all files of its model are there; imports no torch.

    Args:
        run: a finished run.
        cfg: from `recorded_cfg`; paths of folders and weights may have been changed.

    Raises:
        ConfigError: the checkpoint or a weight file is missing, or a weight file has another SHA-256.
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
        DataError: the checkpoint does not fit the configuration, or the rank features differ from the recorded ones.
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
    """Builds the model of a record and loads its checkpoint.

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
    if "image" in towers:  # the image features differ from those of the weight file
        key = f"{model.backbone.tower_key} {cached_sha256(path, Path(record.cfg['paths']['cache']))}"
        model.backbone.tower_key = hashlib.sha256(key.encode()).hexdigest()
    model.eval().requires_grad_(False)
    return model
