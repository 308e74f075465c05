"""README.md, MODEL_CARD.md and, for ONNX, predict.py of an exported folder, rendered from the run's record.

The templates are in `exporting/templates`. Facts that the record lacks are stated as unknown.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ordinalclip.backbones.weights.paths import licence_of
from ordinalclip.errors import DataError
from ordinalclip.exporting.compare import TOLERANCE, Comparison, recorded_images
from ordinalclip.images.decoding import orientation, upright
from ordinalclip.images.preprocessing import Preprocessing
from ordinalclip.inference.export_folder import MODELS, TOKENIZER
from ordinalclip.preparation.reopen import Record
from ordinalclip.scoring.intervals import score_intervals
from ordinalclip.scoring.predictions import read_predictions
from ordinalclip.system import VERSION

# Scores of test_stats.json on the card. Those of the declared readout: name → heading.
_READOUT_SCORES = {"mae": "MAE in ranks", "mae_value": "MAE in the unit"}
# All others: name → heading, number format.
_OTHER_SCORES = {
    "accuracy": ("accuracy, argmax", "{:.1%}"),
    "accuracy_within_1": ("within-1 accuracy, argmax", "{:.1%}"),
    "qwk": ("quadratic weighted kappa, argmax", "{:.3f}"),
    "ece": ("expected calibration error", "{:.3f}"),
}
_LICENCE_NOT_STATED = "not stated; set it with dataset.licence='…'"
_MODEL_FILES = {
    "safetensors": "the tensors, in a format that cannot run code",
    "onnx": "the graph with its weights, for onnxruntime and others; pixels in, logits and probabilities out",
    "torch_export": "an archive of torch.export, FOR TRUSTED USE ONLY",
}
# Expressions of predict.py: the rank from the uncalibrated probabilities `plain` [R].
_ROUNDED_MEAN = "int(numpy.rint(plain @ numpy.arange(len(plain))))"
_READOUTS = {
    "expectation": _ROUNDED_MEAN,
    "rounded_expectation": _ROUNDED_MEAN,
    "argmax": "int(plain.argmax())",
    "median": "min(int((plain.cumsum() < 0.5).sum()), len(plain) - 1)",
}


def card_facts(record: Record, *, changed_ranks: bool) -> dict[str, Any]:
    """Returns the variables of MODEL_CARD.md.

    Args:
        record: Record of a finished run.
        changed_ranks: Whether the export has other ranks than the run. The run's scores do not apply then.
    """
    run, cfg = record.run, record.cfg
    selected_on = (run.read_json("labels.json") or {}).get("selected_on")
    dataset, backbone = cfg["dataset"], cfg["backbone"]
    code = (run.read_json("provenance.json") or {}).get("code", {})
    origin = {
        "run": run.directory.name,
        "data set": dataset.get("name"),
        "backbone": backbone.get("name"),
        "prompt": cfg["prompt"].get("name"),
        "seed": cfg["seed"],
        "epochs": cfg["epochs"],
        "code": f"{code.get('version')}, commit {(code.get('git') or 'unknown')[:12]}"
        + (", with changes" if code.get("dirty") else ""),
        "data's hash": record.identity["manifest"],
    }
    counts = recorded_images(run)["split"].value_counts()
    none = {"scores": [], "levels": [], "by_rank": [], "why_no_levels": ", because its ranks are not the run's"}
    measured = none if changed_ranks else _measured(record)
    return measured | {
        "stamps": "The epoch was selected on the test split: expect lower scores on new images."
        if selected_on == "test"
        else "",
        "origin": [(name, value) for name, value in origin.items() if value is not None],
        "splits": [(name, int(counts[name])) for name in ("train", "val", "calibration", "test") if name in counts],
        "data": _data(cfg, run.read_json("leakage.json") or {}),
        "limits": _limits(record, changed_ranks),
        "licences": [
            f"data ({dataset.get('name')}): {dataset.get('licence') or _LICENCE_NOT_STATED}",
            *(
                f"weights ({'image and text' if part == 'all' else part}): {_named(file.source)}: "
                f"{licence_of(file.source)}"
                for part, file in record.weights.items()
                if part != "tokenizer"
            ),
        ],
    }


def _measured(record: Record) -> dict[str, Any]:
    """Returns the test scores and the coverage of the intervals, as text."""
    stats = record.run.read_json("test_stats.json") or {}
    try:
        intervals = score_intervals(read_predictions(record.run))
    except DataError:
        intervals = {"scores": {}, "by": "images", "num_groups": 0}
    readout = record.cfg["protocol"]["readout"]
    errors = (record.run.read_json("test_details.json") or {}).get("readouts", {}).get(readout, {})
    suffix = "" if readout == "expectation" else f"_{readout}"
    found = {f"{name}{suffix}": errors.get(name, stats.get(f"test/{name}{suffix}")) for name in _READOUT_SCORES}
    found |= {name: stats.get(f"test/{name}") for name in _OTHER_SCORES}
    of_readout = {
        f"{name}{suffix}": (f"{heading}, {readout.replace('_', ' ')}", "{:.3f}")
        for name, heading in _READOUT_SCORES.items()
    }
    scores = []
    for name, (heading, digits) in (of_readout | _OTHER_SCORES).items():
        if found[name] is None:
            continue
        ends, constant = intervals["scores"].get(name), stats.get(f"test/constant_{name.removesuffix(suffix)}")
        scores.append(
            {
                "name": heading,
                "value": digits.format(found[name]),
                "interval": "–" if ends is None else f"{digits.format(ends[0])} to {digits.format(ends[1])}",
                "constant": "" if constant is None else digits.format(constant),
            }
        )
    calibration = record.run.read_json("calibration.json")
    return {
        "scores": scores,
        "groups": f"independent groups of images ({intervals['by']}: {intervals['num_groups']:,})",
        "levels": [] if calibration is None else _levels(calibration),
        "by_rank": [] if calibration is None else _by_rank(calibration, record.rank_names),
        "notes": [] if calibration is None else calibration["notes"],
        "num_calibration": 0 if calibration is None else calibration["n"],
        "why_no_levels": "" if calibration is None else f": {calibration.get('reason', 'too few images')}",
    }


def _by_rank(calibration: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, str]]:
    """Returns the coverage of the default level on the test images of each rank; ranks without images are skipped."""
    tested = calibration["levels"][calibration["default"]].get("test")
    if tested is None:
        return []
    found = zip(names, *(tested["by_rank"][key] for key in ("count", "coverage", "interval")), strict=True)
    return [
        {"name": name, "count": f"{count:,}", "coverage": f"{share:.1%}", "interval": f"{ends[0]:.1%} to {ends[1]:.1%}"}
        for name, count, share, ends in found
        if count > 0
    ]


def _levels(calibration: Mapping[str, Any]) -> list[dict[str, str]]:
    """Returns the test coverage and mean width of each level."""
    rows = []
    for name, entry in calibration["levels"].items():
        tested = entry.get("test")
        if tested is not None:
            low, high = tested["interval"]
            rows.append(
                {
                    "level": f"{float(name):.0%}",
                    "coverage": f"{tested['coverage']:.1%}",
                    "interval": f"{low:.1%} to {high:.1%}",
                    "width": f"{tested['mean_width']:.2f}",
                }
            )
    return rows


def _data(cfg: Mapping[str, Any], leakage: Mapping[str, Any]) -> list[str]:
    protocol, dataset = cfg["protocol"], cfg["dataset"]
    name = protocol["split"]["_target_"].rpartition(".")[2]
    lines = [
        f"Protocol: {name}, the epoch chosen by {protocol.get('metric', 'mae')} on {protocol['select_on']}.",
        f"Source: {dataset.get('citation') or 'not stated'}.",
    ]
    for kind, found in leakage.items():
        if found.get("shared"):
            rate = found.get("test_rate") or 0
            lines.append(f"Leakage: {found['shared']:,} {kind.replace('_', ' ')} ({rate:.1%} of the test images).")
    return lines


def _named(source: str) -> str:
    """Returns the tag or file name of weights, without folders of this machine."""
    return Path(source.partition(":")[2] or source).name


def _limits(record: Record, changed_ranks: bool) -> list[str]:
    limits = [
        "It predicts a rank for every image, also for subjects that the training images do not show.",
        "Scores are of one split of one data set; other cameras, places and people may give worse scores.",
    ]
    if changed_ranks:
        limits.append("Its ranks were interpolated at export: the run's scores do not apply to them.")
    if record.cfg["dataset"].get("name") in ("synthetic_heads", "heads"):  # older runs use the second name
        limits.append("It was trained on SYNTHETIC heads and does not predict the age of people.")
    if str(record.cfg["backbone"].get("name")).startswith("mini"):
        limits.append("Its image tower is small and was pretrained on ImageNet; it is not CLIP.")
    return limits


def write_pages(
    folder: Path, config: dict[str, Any], record: Record, check: Comparison, *, real: bool, changed_ranks: bool
) -> None:
    """Writes the files.

    Args:
        folder: Folder of the export.
        config: Content of its config.json.
        record: Record of the run.
        check: Comparison with the whole model.
        real: Whether the comparison used images of the data set.
        changed_ranks: See `card_facts`.
    """
    loader = PackageLoader("ordinalclip.exporting", "templates")
    # No escaping: the templates are Markdown and Python.
    pages = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    names = config["ranks"]["names"]
    listed = ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:4])} … {names[-1]}"
    facts = config | {
        "title": f"{record.cfg['dataset'].get('name')} by {record.cfg['backbone'].get('name')} and "
        f"{record.cfg['prompt'].get('name')} prompts",
        "version": VERSION,
        "model_file": MODELS[config["format"]],
        "model_what": _MODEL_FILES[config["format"]],
        "has_tokenizer": (folder / TOKENIZER).is_dir(),
        "check": asdict(check),
        "check_images": "images of its data" if real else "random images, since those of its data were not found",
        "tolerance": TOLERANCE[config["precision"]],
        "rank_list": listed,
        "functions": [inspect.getsource(function).rstrip() for function in (upright, orientation)],
        "resize": _resize(Preprocessing(**config["preprocessing"])),
        "mean": _by_channel(config["preprocessing"]["mean"]),
        "std": _by_channel(config["preprocessing"]["std"]),
        "readout": _READOUTS[config["ranks"]["readout"]],
    }
    wanted = ["README.md", "MODEL_CARD.md", *(["predict.py"] if config["format"] == "onnx" else [])]
    facts |= card_facts(record, changed_ranks=changed_ranks)
    for name in wanted:
        (folder / name).write_text(pages.get_template(f"{name}.j2").render(facts), encoding="utf-8")


def _resize(way: Preprocessing) -> str:
    """Returns the code of predict.py that does what `Preprocessing.scale` and `center_crop` do."""
    how, size = f"Image.{way.interpolation.upper()}", way.size
    if way.resize == "squash":
        start = round((way.scaled - size) / 2)
        cut = f".crop(({start}, {start}, {start + size}, {start + size}))" if way.scaled != size else ""
        return f".resize(({way.scaled}, {way.scaled}), {how}){cut}"
    lines = [
        f"side = [int({way.scaled} * length / min(image.size)) for length in image.size]",
        f"left, top = [round((length - {size}) / 2) for length in side]",
        f"image = image.resize(side, {how}).crop((left, top, left + {size}, top + {size}))",
    ]
    return "".join(f"\n    {line}" for line in lines)


def _by_channel(values: Sequence[float]) -> str:
    return f"[[[{']], [['.join(map(repr, values))}]]]"
