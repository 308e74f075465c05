"""Writing an export: it is written to a draft folder, loaded again, compared with the whole model, then renamed.

`reinterpolated` computes rank features for other ranks than those of training from the same base ranks.
"""

import copy
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ordinalclip.backbones.weights.tokenizers import copy_tokenizer
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.exporting.compare import Comparison, compare, sample_pixels
from ordinalclip.exporting.graph import Graph, export_onnx, export_torch
from ordinalclip.exporting.pages import write_pages
from ordinalclip.images.preprocessing import Preprocessing
from ordinalclip.inference.export_folder import MODELS, TOKENIZER, architecture_of, write_config, write_sums
from ordinalclip.inference.exported import load_exported, save_ranker
from ordinalclip.inference.model import ImageRanker, logits_of, ranker_from
from ordinalclip.inference.opening import facts_of, ranks_of
from ordinalclip.inference.predictions import Ranks
from ordinalclip.model import OrdinalCLIP
from ordinalclip.preparation.build import build
from ordinalclip.preparation.reopen import Record, rebuild
from ordinalclip.prompts.interpolation import interpolation_weights
from ordinalclip.prompts.rank import RankPrompt

log = logging.getLogger("ordinalclip")

NUM_COMPARED = 16  # test images on which an export is compared with the model
NUM_QUANTIZATION = 64  # training images for the activation ranges of int8
_CPU = torch.device("cpu")


def values_between(ranks: Ranks, num_ranks: int) -> list[float]:
    """Returns `num_ranks` values, evenly spaced on the axis of ranks, both ends included."""
    if num_ranks < 2:
        raise ConfigError("num_ranks", num_ranks, "is too small", allowed="2 or more")
    places = np.linspace(0, len(ranks.scale) - 1, num_ranks)
    return [float(value) for value in np.interp(places, np.arange(len(ranks.scale)), ranks.scale)]


def reinterpolated(record: Record, ranks: Ranks, values: Sequence[float]) -> tuple[Tensor, Ranks]:
    """Computes unit-length rank features [R', D] for ranks with other values, by one pass of the text tower.

    Args:
        record: Record of a run with rank prompts.
        ranks: Ranks of the run.
        values: R' increasing values within the range of the run's ranks, in their unit.

    Returns:
        The rank features, and the new ranks.

    Raises:
        ConfigError: If the prompt cannot be interpolated, or `values` do not increase or lie outside the range.
    """
    scale = np.array(ranks.scale)
    wanted = np.array(values, dtype=float)
    rising = len(wanted) > 1 and bool((np.diff(wanted) > 0).all())  # False for nan
    if not rising or wanted[0] < scale[0] or wanted[-1] > scale[-1]:
        allowed = f"two or more, increasing, within {scale[0]:g} … {scale[-1]:g}"
        raise ConfigError("values", list(values), "cannot be ranks of this run", allowed=allowed)
    model = rebuild(record)
    places = torch.from_numpy(np.interp(wanted, scale, np.arange(len(scale))))
    names = tuple(f"{value:g}" for value in wanted)
    model.prompt = _prompt_at(model, record, places, names)
    with torch.inference_mode():
        features_RD = model.eval().rank_features()
    return features_RD.clone(), replace(ranks, names=names, scale=tuple(wanted.tolist()))


def _prompt_at(model: OrdinalCLIP, record: Record, places: Tensor, names: Sequence[str]) -> RankPrompt:
    """Returns the run's prompt with ranks at other places on the axis of ranks [R']."""
    old, cfg = model.prompt, record.cfg["prompt"]
    problem, remedy = None, "omit num_ranks and values"
    if not isinstance(old, RankPrompt):
        problem = "has no base ranks to interpolate from"
    elif cfg.get("rank_specific_context"):
        problem = "has a separate context for each rank"
    elif isinstance(cfg.get("tokens_per_rank"), list):
        problem = "has a separate number of tokens for each rank"
    elif len(names) < cfg["num_base_ranks"]:
        problem = f"has {cfg['num_base_ranks']} base ranks, more than the {len(names)} requested"
        remedy = f"request {cfg['num_base_ranks']} ranks or more"
    if problem is not None or not isinstance(old, RankPrompt):
        raise ConfigError("run", record.run.directory.name, f"its prompt {problem}", remedy=remedy)
    changed = {"rank_init": "random", "base_rank_names": None, "tokens_per_rank": old.base_ranks.shape[1]}
    backbone = model.backbone
    new = build(cfg | changed, "prompt", text=backbone.text, embed_dim=backbone.embed_dim, rank_names=names)
    assert isinstance(new, RankPrompt)
    new.load_state_dict(old.state_dict())
    new.weights = interpolation_weights(cfg["interpolation"], len(old.weights), cfg["num_base_ranks"], places)
    return new


def write_export(
    record: Record, out: Path, format_: str, precision: str, values: list[float] | int | None
) -> Comparison:
    """Writes the folder of an export; see `ordinalclip.export`.

    Args:
        record: Record of a finished run.
        out: Output folder, replaced if it exists.
        format_: One of `MODELS`.
        precision: fp32, fp16 or, for onnx, int8.
        values: Values of other ranks, or their number; None for the run's own ranks.

    Raises:
        ConfigError: If the ranks cannot be interpolated, or int8 finds no training image.
        DataError: If the export differs from the model by more than `TOLERANCE`, or its outputs are not finite.
    """
    model = rebuild(record)
    ranker, preprocessing = ranker_from(model, record)
    ranks = ranks_of(record)
    calibration = record.run.read_json("calibration.json") if values is None else None
    if values is not None:
        wanted = values_between(ranks, values) if isinstance(values, int) else values
        features_RD, ranks = reinterpolated(record, ranks, wanted)
        ranker = ImageRanker(ranker.image, ranker.projection, features_RD, ranker.scale).eval().requires_grad_(False)
        log.info("%d interpolated ranks: the run's calibration does not apply to them and is omitted", len(wanted))
    pixels = sample_pixels(record.run, preprocessing, "test", NUM_COMPARED)
    real = len(pixels) > 0
    if not real:
        log.warning("no test image of the run was found; the export is compared on random images")
        pixels = torch.randn(4, 3, preprocessing.size, preprocessing.size, generator=torch.Generator().manual_seed(0))
    expected = logits_of(ranker, pixels, _CPU)
    config: dict[str, Any] = {
        "format": format_,
        "precision": precision,
        "ranks": {
            "names": list(ranks.names),
            "values": list(ranks.scale),
            "unit": ranks.unit,
            "readout": ranks.readout,
        },
        "preprocessing": asdict(preprocessing),
        "calibration": calibration,
        "facts": facts_of(record.run, record.cfg),
        "backbone": architecture_of(record.cfg["backbone"]),
    }
    draft = out.with_name(f".{out.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        _write_model(draft / MODELS[format_], config, ranker, record, preprocessing)
        write_config(draft, config)
        write_sums(draft)
        loaded = load_exported(draft, _CPU, trusted=True)
        size = (draft / MODELS[format_]).stat().st_size
        check = compare(model, expected, loaded.logits, pixels, size)
        problem = check.problem(precision)
        if problem:
            raise DataError(f"{out}: not kept: {problem}\n  what to do: choose another precision")
        write_pages(draft, config, record, check, real=real, changed_ranks=values is not None)
        write_sums(draft)
        if out.exists():
            shutil.rmtree(out)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return check


def _write_model(
    file: Path, config: dict[str, Any], ranker: ImageRanker, record: Record, preprocessing: Preprocessing
) -> None:
    half = config["precision"] == "fp16"
    if config["format"] == "safetensors":
        save_ranker(ranker, file, half=half)
        tokenizer = record.weights.get("tokenizer")
        if tokenizer is not None and tokenizer.path is not None and tokenizer.path.is_dir():
            # An export encodes no text, but loading builds the whole backbone, which reads its tokenizer.
            copy_tokenizer(tokenizer.path, file.parent / TOKENIZER)
        return
    temperature = (config["calibration"] or {}).get("temperature")
    graph = Graph(copy.deepcopy(ranker), 1.0 if temperature is None else temperature, half=half)
    if config["format"] == "torch_export":
        export_torch(graph, preprocessing.size, file)
        return
    export_onnx(graph, preprocessing.size, file)
    if config["precision"] == "int8":
        from ordinalclip.exporting.quantize import quantize  # needs onnxruntime, an optional dependency

        pixels = sample_pixels(record.run, preprocessing, "train", NUM_QUANTIZATION)
        if len(pixels) == 0:
            problem = "needs training images for the activation ranges, and none was found"
            raise ConfigError("precision", "int8", problem, allowed="fp32, fp16")
        whole = file.rename(file.with_suffix(".fp32"))
        quantize(whole, file, pixels.numpy())
        whole.unlink()
