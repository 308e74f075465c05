"""An export written, loaded again, compared with the model that it was made of, and only then put in its place."""

import copy
import logging
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ordinalclip.backbones.tokenizer_files import copy_tokenizer
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.exporting.compare import Comparison, compare
from ordinalclip.exporting.folder import MODELS, TOKENIZER, architecture_of, write_config, write_sums
from ordinalclip.exporting.graph import Graph, export_onnx, export_torch
from ordinalclip.exporting.pages import write_pages
from ordinalclip.exporting.ranks import reinterpolated, values_between
from ordinalclip.exporting.samples import sample_pixels
from ordinalclip.inference.exported import load_exported, save_ranker
from ordinalclip.inference.opening import facts_of, ranks_of
from ordinalclip.inference.ranker import ImageRanker, logits_of, ranker_from
from ordinalclip.preprocessing import Preprocessing
from ordinalclip.reopen import Record, rebuild

log = logging.getLogger("ordinalclip")

NUM_CHECKED, NUM_RANGED = 16, 64  # images
_CPU = torch.device("cpu")


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
        from ordinalclip.exporting.quantize import quantize

        pixels = sample_pixels(record.run, way, "train", NUM_RANGED)
        if len(pixels) == 0:
            problem = "needs training images to read ranges off, and none is where it was"
            raise ConfigError("precision", "int8", problem, allowed="fp32, fp16")
        whole = file.rename(file.with_suffix(".fp32"))
        quantize(whole, file, pixels.numpy())
        whole.unlink()
