"""Loads an exported folder of any format for prediction."""

import logging
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ordinalclip.backbones.backbone import LazyTower
from ordinalclip.backbones.load import load_backbone
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.images.preprocessing import Preprocessing
from ordinalclip.inference.export_folder import TOKENIZER, Exported, architecture_of, open_exported
from ordinalclip.inference.model import ImageRanker, RankModel, logits_of
from ordinalclip.inference.predictions import Ranks
from ordinalclip.system.checksums import hash_of_sums

log = logging.getLogger("ordinalclip")

Logits = Callable[[Tensor], Tensor]
# Builders in conf/backbone: they build networks by name, and read no file that can run code.
_BUILDERS = tuple(
    f"ordinalclip.backbones.{name}"
    for name in ("mini.build_mini", "mixed.build_mixed", "openclip.build_openclip", "tiny.build_tiny")
)

_TRUST = "where you trust its maker: trusted=true, in Python load(…, trusted=True)"


def load_exported(folder: Path, device: torch.device, *, trusted: bool = False) -> RankModel:
    """Loads a model from its exported folder; every file is checked first.

    Args:
        folder: made by `ordinalclip.export`.
        device: to compute on; ONNX graphs and archives of torch.export run on the CPU, with a message.
        trusted: whether its maker is trusted: to have archives of torch.export unpickled, and towers built by code that
            is not OrdinalCLIP's.

    Raises:
        ConfigError: it takes trust; onnxruntime is not installed.
        DataError: files are damaged or were changed.
    """
    exported = open_exported(folder, trusted=trusted)
    config = exported.config
    if config["format"] == "safetensors":
        logits = _of_safetensors(exported, device, trusted=trusted)
    else:  # the device is part of the graph
        if device.type != "cpu":
            message = "%s: format=%s computes on the CPU, not on %s; format=safetensors computes anywhere"
            log.warning(message, folder, config["format"], device)
        logits = {"onnx": _of_onnx, "torch_export": _of_archive}[config["format"]](exported)
    prepared = config["preprocessing"] | {key: tuple(config["preprocessing"][key]) for key in ("mean", "std")}
    ranks = config["ranks"]
    return RankModel(
        logits,
        Preprocessing(**prepared),
        Ranks(tuple(ranks["names"]), tuple(ranks["values"]), ranks["unit"], ranks["readout"]),
        calibration=config["calibration"],
        facts=config["facts"] | {"format": config["format"], "precision": config["precision"]},
        sums=hash_of_sums(folder),
    )


def save_ranker(ranker: ImageRanker, file: Path, *, half: bool) -> None:
    """Writes the tensors of a ranker; `half` stores floating-point tensors in float16."""
    state = {name: tensor.contiguous().clone() for name, tensor in ranker.state_dict().items()}
    if half:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    save_file(state, file)


def _of_safetensors(exported: Exported, device: torch.device, *, trusted: bool) -> Logits:
    backbone_cfg = architecture_of(exported.config["backbone"])
    if (exported.folder / TOKENIZER).is_dir():
        backbone_cfg["tokenizer"] = str(exported.folder / TOKENIZER)
    builder = backbone_cfg["_target_"]
    if builder not in _BUILDERS and not trusted:  # config.json may name any function
        problem = f"its image tower is built by {builder}, which is not OrdinalCLIP's and may do anything"
        raise ConfigError("run", exported.folder, problem, remedy=_TRUST)
    with tempfile.TemporaryDirectory() as cache:  # nothing is cached: the export has all weights
        backbone = load_backbone(backbone_cfg, cache_dir=Path(cache), trainable={"image": 1.0}, seed=0)
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


def _of_onnx(exported: Exported) -> Logits:
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


def _of_archive(exported: Exported) -> Logits:
    program = torch.export.load(exported.model).module()

    def logits(images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits_BR: Tensor = program(images)[0]
        return logits_BR

    return logits
