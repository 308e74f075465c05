"""Finds the checkpoint of a run's initial values and checks that it fits the run. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ordinalclip.config.schema import PARTS
from ordinalclip.errors import ConfigError
from ordinalclip.prompts.checks import parts_of
from ordinalclip.runs.find import check_finished, find_run
from ordinalclip.system.checksums import cached_sha256

# Part → the group and settings that determine its kind. Shapes are compared once the file is read.
_KINDS = {
    "rank": ("prompt", ("_target_",)),
    "head": ("prompt", ("_target_",)),
    "projection": ("backbone", ("_target_", "projection")),
    "image": ("backbone", ("_target_", "model", "image_library", "image_model")),
    "text": ("backbone", ("_target_", "model", "text_model")),
}
_OF_PROMPTS = ("context", "rank", "head")


@dataclass(frozen=True)
class InitialFile:
    """A checkpoint with initial values.

    Attributes:
        path: path of the file.
        sha256: SHA-256 of the file.
        parts: parts to copy; None: all parts that it has.
    """

    path: Path
    sha256: str
    parts: tuple[str, ...] | None


def find_initial(cfg: Mapping[str, Any]) -> InitialFile | None:
    """The checkpoint of the group `init`, or None.

    Raises:
        ConfigError: there is no such run or file, the run is not finished, or its parts are of another kind.
    """
    named, parts = cfg["init"]["checkpoint"], cfg["init"]["parts"]
    if named is None:
        if parts is not None:
            remedy = "name the run that they come from: init.checkpoint=<its directory or id>"
            raise ConfigError("init.parts", parts, "parts of no checkpoint", remedy=remedy)
        return None
    if parts is not None and len(parts) == 0:
        raise ConfigError("init.parts", parts, "no part at all", allowed="null for all that there are, or some of them")
    path = Path(str(named)).expanduser()
    if not path.is_file():
        if path.suffix in (".ckpt", ".pt", ".pth"):
            raise ConfigError("init.checkpoint", named, f"there is no such file (looked at {path.absolute()})")
        run = find_run(str(named), Path(cfg["paths"]["runs"]), "init.checkpoint")
        check_finished(run, "init.checkpoint")
        path = run.best_checkpoint
        if not path.is_file():
            problem = "has no checkpoint: nothing was trained in it, or ckpt/best.ckpt was taken away"
            raise ConfigError("init.checkpoint", named, problem)
    _check_there(parts, cfg["prompt"], "this run's model has no such part")
    source = _config_beside(path)
    if source is not None:
        _check_kinds(source, cfg, parts, str(named))
        _check_there(parts, source["prompt"], "the run that it is to come from has no such part")
        _check_trained(parts, source)
    sha256 = cached_sha256(path, Path(cfg["paths"]["cache"]))
    return InitialFile(path, sha256, None if parts is None else tuple(sorted(parts)))


def _config_beside(checkpoint: Path) -> dict[str, Any] | None:
    """The configuration of the run of a checkpoint; None if it is not in a run directory."""
    file = checkpoint.absolute().parent.parent / "config.yaml"
    if not file.is_file():
        return None
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) and {"backbone", "prompt", "trainable"} <= content.keys() else None


def _check_kinds(source: Mapping[str, Any], cfg: Mapping[str, Any], parts: list[str] | None, named: str) -> None:
    for part, (group, settings) in _KINDS.items():
        # The file has a frozen part only if that run copied initial values for it.
        if part not in (parts or ()) and (parts is not None or source["trainable"].get(part) is None):
            continue
        for setting in settings:
            theirs, ours = source[group].get(setting), cfg[group].get(setting)
            if theirs != ours:
                problem = f"its part {part} is of another kind: {group}.{setting} is {theirs} there and {ours} here"
                remedy = f"take the parts that fit, such as init.parts=[{_fitting(source, cfg)}], or make them equal"
                raise ConfigError("init.checkpoint", named, problem, remedy=remedy)


def _check_there(parts: list[str] | None, prompt: Mapping[str, Any], problem: str) -> None:
    of_prompt = parts_of(prompt)
    if of_prompt is None:
        return
    for part in parts or ():
        if part in _OF_PROMPTS and part not in of_prompt:
            there = [each for each in PARTS if each not in _OF_PROMPTS or each in of_prompt]
            raise ConfigError("init.parts", parts, f"{part}: {problem}", allowed=", ".join(there))


def _check_trained(parts: list[str] | None, source: Mapping[str, Any]) -> None:
    if source.get("init", {}).get("checkpoint") is not None:
        return  # its checkpoint has the values that it copied, trained or not
    for part in parts or ():
        if source["trainable"].get(part) is None:
            there = [each for each, rate in source["trainable"].items() if rate is not None]
            problem = f"{part}: it was frozen there, so it is not in it"
            raise ConfigError("init.parts", parts, problem, allowed=", ".join(there))


def _fitting(source: Mapping[str, Any], cfg: Mapping[str, Any]) -> str:
    fits = [
        part
        for part, (group, settings) in _KINDS.items()
        if all(source[group].get(setting) == cfg[group].get(setting) for setting in settings)
    ]
    trained = [part for part in ("context", *fits) if source["trainable"].get(part) is not None]
    return ",".join(trained)
