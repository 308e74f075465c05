"""README.md, MODEL_CARD.md and, for ONNX, predict.py of an exported folder."""

from collections.abc import Sequence
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
_MEAN = "int(numpy.rint(plain @ numpy.arange(len(plain))))"
_READOUTS = {
    "expectation": _MEAN,
    "rounded_expectation": _MEAN,
    "argmax": "int(plain.argmax())",
    "median": "min(int((plain.cumsum() < 0.5).sum()), len(plain) - 1)",
}


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
    """What predict.py does to an image as `Preprocessing.scale` and `centre` do it, with this export's numbers."""
    how, size = f"PIL.Image.{way.interpolation.upper()}", way.size
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
