"""An exported folder opened for prediction, whatever format it is in."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ordinalclip.backbones.lazy import LazyTower
from ordinalclip.backbones.load import load_backbone
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.exporting.folder import Exported, open_exported
from ordinalclip.inference.model import RankModel
from ordinalclip.inference.predictions import Ranks
from ordinalclip.inference.ranker import ImageRanker, logits_of
from ordinalclip.preprocessing import Preprocessing

Logits = Callable[[Tensor], Tensor]


def load_exported(folder: Path, device: torch.device, *, trusted: bool = False) -> RankModel:
    """A model from its exported folder, every file checked first.

    Args:
        folder: made by `ordinalclip.export`.
        device: to compute on; ONNX graphs run on the CPU.
        trusted: see `open_exported`.

    Raises:
        ConfigError: see `open_exported`; onnxruntime is not installed.
        DataError: files are damaged or were changed.
    """
    exported = open_exported(folder, trusted=trusted)
    config = exported.config
    readers = {"safetensors": _of_safetensors, "onnx": _of_onnx, "torch_export": _of_archive}
    logits = readers[config["format"]](exported, device)
    prepared = config["preprocessing"] | {key: tuple(config["preprocessing"][key]) for key in ("mean", "std")}
    ranks = config["ranks"]
    return RankModel(
        logits,
        Preprocessing(**prepared),
        Ranks(tuple(ranks["names"]), tuple(ranks["values"]), ranks["unit"], ranks["readout"]),
        calibration=config["calibration"],
        facts=config["facts"] | {"format": config["format"], "precision": config["precision"]},
    )


def save_ranker(ranker: ImageRanker, file: Path, *, half: bool) -> None:
    """Writes a ranker's tensors; `half` stores the floating ones in float16."""
    state = {name: tensor.contiguous().clone() for name, tensor in ranker.state_dict().items()}
    if half:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    save_file(state, file)


def preprocessing_of(preprocessing: Preprocessing) -> dict[str, Any]:
    """Of a model, for config.json."""
    return asdict(preprocessing)


def _of_safetensors(exported: Exported, device: torch.device) -> Logits:
    backbone_cfg = exported.config["backbone"]
    backbone = load_backbone(backbone_cfg, cache_dir=Path(".cache"), trainable={"image": 1.0}, seed=0)
    image = backbone.image.ready() if isinstance(backbone.image, LazyTower) else backbone.image
    state = load_file(exported.model)
    empty = torch.zeros_like(state["rank_features"], dtype=torch.float32)
    ranker = ImageRanker(image, backbone.projection, empty, torch.ones(()))
    try:
        ranker.load_state_dict({name: _full(tensor) for name, tensor in state.items()})
    except RuntimeError as error:
        raise DataError(f"{exported.model}: does not fit the backbone of config.json: {error}") from None
    return partial(logits_of, ranker.eval().requires_grad_(False).to(device), device=device)


def _full(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _of_onnx(exported: Exported, device: torch.device) -> Logits:
    try:
        import onnxruntime
    except ImportError:
        remedy = "pip install onnxruntime, or 'ordinalclip[export]'"
        raise ConfigError("run", exported.folder, "needs onnxruntime, which is not there", remedy=remedy) from None
    session = onnxruntime.InferenceSession(exported.model, providers=["CPUExecutionProvider"])

    def logits(images: Tensor) -> Tensor:
        (logits_BR,) = session.run(["logits"], {"images": images.numpy().astype(np.float32)})
        return torch.from_numpy(logits_BR)

    return logits


def _of_archive(exported: Exported, device: torch.device) -> Logits:
    program = torch.export.load(exported.model).module().to(device)

    def logits(images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits_BR: Tensor = program(images.to(device))[0]
        return logits_BR.cpu()

    return logits
