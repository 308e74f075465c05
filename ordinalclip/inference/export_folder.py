"""Files of an exported folder: names, `config.json`, and the check of their SHA-256. Imports no torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ordinalclip.errors import ConfigError, DataError
from ordinalclip.system.checksums import SUMS, check_sums, format_sums
from ordinalclip.system.files import write_atomically

CONFIG = "config.json"
MODELS = {"safetensors": "model.safetensors", "onnx": "model.onnx", "torch_export": "model.pt2"}
PRECISIONS = ("fp32", "fp16", "int8")
TOKENIZER = "tokenizer"  # folder of a tokenizer other than CLIP's
_VERSION = 1


@dataclass(frozen=True)
class Exported:
    """An exported folder whose files were checked.

    Attributes:
        folder: its path.
        config: content of its config.json: format, precision, ranks, preprocessing, calibration, facts, …
    """

    folder: Path
    config: dict[str, Any]

    @property
    def model(self) -> Path:
        """The file of weights, or of the graph."""
        return self.folder / MODELS[self.config["format"]]


def is_exported(folder: Path) -> bool:
    """Whether a folder has a config.json; `open_exported` checks it further."""
    return (folder / CONFIG).is_file()


def is_nothing_but_export(folder: Path) -> bool:
    """Whether a folder is an export and has no other files, so that it may be replaced.

    Other programs write a config.json as well, and users add files to an exported folder.
    """
    try:
        _read_config(folder)
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError, DataError):
        return False
    named = {line.partition("  ")[2] for line in lines}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return there <= named | {SUMS}


def write_sums(folder: Path) -> None:
    """Writes SHA256SUMS over all files of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    text = format_sums(folder, [path.relative_to(folder).as_posix() for path in files])
    write_atomically(folder / SUMS, lambda draft: draft.write_text(text, encoding="utf-8"))


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Writes config.json."""
    text = json.dumps({"version": _VERSION} | dict(config), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def open_exported(folder: Path, *, trusted: bool = False) -> Exported:
    """Opens an exported folder; checks the SHA-256 of every file before it is used.

    Args:
        folder: made by `ordinalclip.export`.
        trusted: whether its source is trusted: archives of torch.export are unpickled when they are loaded.

    Raises:
        ConfigError: the format is an archive of torch.export, and `trusted` is False.
        DataError: a file is missing or damaged, or was changed.
    """
    config = _read_config(folder)
    model = MODELS[config["format"]]
    if config.get("version") != _VERSION:
        raise DataError(f"{folder / CONFIG}: version {config.get('version')}; this program reads {_VERSION}")
    check_sums(folder, (CONFIG, model), "export the run again, or copy the folder anew")
    if config["format"] == "torch_export" and not trusted:
        problem = "an archive of torch.export runs code of its maker when it is loaded"
        remedy = "where you made it yourself: trusted=true, in Python load(…, trusted=True); others run no code"
        raise ConfigError("run", folder, problem, remedy=remedy)
    return Exported(folder, config)


def _read_config(folder: Path) -> dict[str, Any]:
    """Content of config.json.

    Raises:
        DataError: it is damaged, or written by another program.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{folder / CONFIG}: is damaged ({type(error).__name__}: {error})") from None
    if not isinstance(config, dict) or config.get("format") not in MODELS:
        raise DataError(f"{folder / CONFIG}: is damaged, or of another program: it names no format of an export")
    return config


def architecture_of(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a backbone without its weights, which are in the export."""
    weights = backbone["weights"]
    if not isinstance(weights, Mapping):
        return {**backbone, "weights": "random"}
    return {**backbone, "weights": {part: file if part == "tokenizer" else "random" for part, file in weights.items()}}
