"""README.md, MODEL_CARD.md and, for ONNX, predict.py of an exported folder."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import ordinalclip
from ordinalclip.exporting.card import card_facts
from ordinalclip.exporting.compare import TOLERANCE, Comparison
from ordinalclip.exporting.folder import MODELS, TOKENIZER
from ordinalclip.preprocessing import Preprocessing
from ordinalclip.reopen import Record

_WHAT = {
    "safetensors": "the tensors, in a format that cannot run code",
    "onnx": "the graph with its weights, for onnxruntime and others; pixels in, logits and probabilities out",
    "torch_export": "an archive of torch.export, FOR TRUSTED USE ONLY",
}
_RESIZED = 'image = image.resize(side, PIL.Image.Resampling[way["interpolation"].upper()])'
_LINES = {
    "squash": ['side = [round(way["size"] * way["margin"])] * 2'],
    "crop": [
        'short, (width, height) = round(way["size"] * way["margin"]), image.size',
        "side = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)",
    ],
}
_MEAN = "int(numpy.rint(plain @ numpy.arange(len(plain))))"
_READOUTS = {
    "expectation": _MEAN,
    "rounded_expectation": _MEAN,
    "argmax": "int(plain.argmax())",
    "median": "min(int((plain.cumsum() < 0.5).sum()), len(plain) - 1)",
}
_CUT = [
    'left, top = (round((length - way["size"]) / 2) for length in side)',
    'image = image.crop((left, top, left + way["size"], top + way["size"]))',
]


def write_pages(
    folder: Path, config: dict[str, Any], record: Record, check: Comparison, *, real: bool, changed_ranks: bool
) -> None:
    """Writes them.

    Args:
        folder: of the export.
        config: content of its config.json.
        record: of the run.
        check: how it compares with the whole model.
        real: whether that was on images of the data set.
        changed_ranks: see `card_facts`.
    """
    loader = PackageLoader("ordinalclip.exporting", "templates")
    # Markdown and Python: nothing is to be escaped.
    pages = Environment(
        loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )  # Markdown
    names = config["ranks"]["names"]
    listed = ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:4])} … {names[-1]}"
    facts = config | {
        "title": f"{record.cfg['dataset'].get('name')} by {record.cfg['backbone'].get('name')} and "
        f"{record.cfg['prompt'].get('name')} prompts",
        "version": ordinalclip.__version__,
        "model_file": MODELS[config["format"]],
        "model_what": _WHAT[config["format"]],
        "has_tokenizer": (folder / TOKENIZER).is_dir(),
        "check": asdict(check),
        "check_images": "real images of its data" if real else "made-up images, since those of its data are not here",
        "tolerance": TOLERANCE[config["precision"]],
        "rank_list": listed,
        "resize": _resize(config["preprocessing"]),
        "readout": _READOUTS[config["ranks"]["readout"]],
    }
    wanted = ["README.md", "MODEL_CARD.md", *(["predict.py"] if config["format"] == "onnx" else [])]
    facts |= card_facts(record, changed_ranks=changed_ranks)
    for name in wanted:
        (folder / name).write_text(pages.get_template(f"{name}.j2").render(facts), encoding="utf-8")


def _resize(way: dict[str, Any]) -> str:
    """The lines of predict.py that do what `Preprocessing.scale` and `centre` do."""
    prepared = Preprocessing(**way)
    is_cut = prepared.resize == "crop" or prepared.scaled != prepared.size
    return "\n".join(f"    {line}" for line in [*_LINES[prepared.resize], _RESIZED, *(_CUT if is_cut else [])])
