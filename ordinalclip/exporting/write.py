"""Writing an export: written, loaded again, compared with the whole model, and only then moved into place.

`reinterpolated` gives an export other ranks than those of training, read off the same base ranks.
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

NUM_CHECKED, NUM_RANGED = 16, 64  # images
_CPU = torch.device("cpu")


def values_between(ranks: Ranks, num_ranks: int) -> list[float]:
    """`num_ranks` values at equal distances on the axis of ranks, the ends included."""
    if num_ranks < 2:
        raise ConfigError("num_ranks", num_ranks, "are too few", allowed="2 or more")
    places = np.linspace(0, len(ranks.scale) - 1, num_ranks)
    return [float(value) for value in np.interp(places, np.arange(len(ranks.scale)), ranks.scale)]


def reinterpolated(record: Record, ranks: Ranks, values: Sequence[float]) -> tuple[Tensor, Ranks]:
    """Rank features [R', D], unit length, of ranks with the given values; the text tower runs once.

    Args:
        record: of a run with rank prompts.
        ranks: the run's own.
        values: R' rising values within those of the run's ranks, in their unit.

    Raises:
        ConfigError: the run's prompt has no base ranks, or its ranks differ in more than their place; values that do
            not rise, or lie outside.
    """
    scale = np.array(ranks.scale)
    wanted = np.array(values, dtype=float)
    rising = len(wanted) > 1 and bool((np.diff(wanted) > 0).all())  # nan is not
    if not rising or wanted[0] < scale[0] or wanted[-1] > scale[-1]:
        allowed = f"two or more, rising, within {scale[0]:g} … {scale[-1]:g}"
        raise ConfigError("values", list(values), "cannot be ranks of this run", allowed=allowed)
    model = rebuild(record)
    places = torch.from_numpy(np.interp(wanted, scale, np.arange(len(scale))))
    names = tuple(f"{value:g}" for value in wanted)
    model.prompt = _prompt_at(model, record, places, names)
    with torch.inference_mode():
        features_RD = model.eval().rank_features()
    return features_RD.clone(), replace(ranks, names=names, scale=tuple(wanted.tolist()))


def _prompt_at(model: OrdinalCLIP, record: Record, places: Tensor, names: Sequence[str]) -> RankPrompt:
    """The run's prompt for other places on the axis of ranks."""
    old, cfg = model.prompt, record.cfg["prompt"]
    problem, remedy = None, "leave num_ranks and values out"
    if not isinstance(old, RankPrompt):
        problem = "has no base ranks to interpolate from"
    elif cfg.get("rank_specific_context"):
        problem = "has a context for each of its own ranks"
    elif isinstance(cfg.get("tokens_per_rank"), list):
        problem = "has a number of tokens for each of its own ranks"
    elif len(names) < cfg["num_base_ranks"]:
        problem = f"has {cfg['num_base_ranks']} base ranks, more than the {len(names)} that are asked for"
        remedy = f"ask for {cfg['num_base_ranks']} ranks or more"
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
    """Writes the folder; see `ordinalclip.export`.

    Args:
        record: of a finished run.
        out: the folder, replaced where it exists.
        format_: one of `MODELS`.
        precision: fp32, fp16 or, for onnx, int8.
        values: of other ranks, or how many; None: the run's own.

    Raises:
        ConfigError: ranks that cannot be interpolated, or nothing to read an int8 model's ranges off.
        DataError: the export differs from the model by more than its precision may, or answers with nan.
    """
    model = rebuild(record)
    ranker, preprocessing = ranker_from(model, record)
    ranks = ranks_of(record)
    calibration = record.run.read_json("calibration.json") if values is None else None
    if values is not None:
        wanted = values_between(ranks, values) if isinstance(values, int) else values
        features_RD, ranks = reinterpolated(record, ranks, wanted)
        ranker = ImageRanker(ranker.image, ranker.projection, features_RD, ranker.scale).eval().requires_grad_(False)
        log.info("ranks at %d values; the run's calibration is of its own ranks and is left out", len(wanted))
    pixels = sample_pixels(record.run, preprocessing, "test", NUM_CHECKED)
    real = len(pixels) > 0
    if not real:
        log.warning("no image of the run's data is where it was; the export is compared on made-up ones")
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
            raise DataError(f"{out}: not kept: {problem}\n  what to do: another precision")
        write_pages(draft, config, record, check, real=real, changed_ranks=values is not None)
        write_sums(draft)
        if out.exists():
            shutil.rmtree(out)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return check


def _write_model(file: Path, config: dict[str, Any], ranker: ImageRanker, record: Record, way: Preprocessing) -> None:
    half = config["precision"] == "fp16"
    if config["format"] == "safetensors":
        save_ranker(ranker, file, half=half)
        words = record.weights.get("tokenizer")
        if words is not None and words.path is not None and words.path.is_dir():
            # No word is read any more, but a backbone is built as a whole.
            copy_tokenizer(words.path, file.parent / TOKENIZER)
        return
    temperature = (config["calibration"] or {}).get("temperature")
    graph = Graph(copy.deepcopy(ranker), 1.0 if temperature is None else temperature, half=half)
    if config["format"] == "torch_export":
        export_torch(graph, way.size, file)
        return
    export_onnx(graph, way.size, file)
    if config["precision"] == "int8":
        from ordinalclip.exporting.graph import quantize

        pixels = sample_pixels(record.run, way, "train", NUM_RANGED)
        if len(pixels) == 0:
            problem = "needs training images to read ranges off, and none is where it was"
            raise ConfigError("precision", "int8", problem, allowed="fp32, fp16")
        whole = file.rename(file.with_suffix(".fp32"))
        quantize(whole, file, pixels.numpy())
        whole.unlink()
