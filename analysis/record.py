"""Reads the record of one run as flat facts, settings and scores, from its directory or from copies of its files.

A missing or damaged file only costs its own values; `problem` names it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import yaml

from ordinalclip.config.moved_names import current_names

# `manifest`: hash of the data with their split; `weights`: hash of the weight files' hashes.
FACTS = (
    "run_id",
    "name",
    "directory",
    "state",
    "sweep",
    "selected_on",
    "created",
    "seconds",
    "git",
    "manifest",
    "weights",
    "problem",
)
_SPLITS = ("test", "val", "calibration")
_TOP_LEVEL_KEY = re.compile(r"^(?=[A-Za-z_])", re.MULTILINE)
_YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Files = Callable[[str], str | None]
"""Returns the text of a file of the record by name; None if there is no such file."""


def read_record(files: Files) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """Returns the facts, settings and scores of a record.

    Args:
        files: reads files of the record.

    Returns:
        Facts, a subset of `FACTS`; settings, `prompt.num_base_ranks` → value; scores, `test/mae` → value, with
        `ordinality` (the paper's score at the best epoch) and the other values of ordinality.json as
        `ordinality/best/…`.
    """
    problems: list[str] = []
    status, labels = _json(files, "status.json", problems), _json(files, "labels.json", problems)
    identity = _json(files, "identity.json", problems)
    settings = _settings(files, labels, identity, problems)
    scores: dict[str, float] = {}
    for split in _SPLITS:
        scores |= _numbers(_json(files, f"{split}_stats.json", problems))
    ordinality = _json(files, "ordinality.json", problems)
    for when, found in ordinality.items():
        scores |= _numbers(found, f"ordinality/{when}/")
    if "ordinality/best/score" in scores:
        scores["ordinality"] = scores["ordinality/best/score"]
    provenance = _json(files, "provenance.json", problems)
    code, backbone = provenance.get("code"), identity.get("backbone")
    facts = {
        "run_id": status.get("run_id"),
        "sweep": labels.get("sweep"),
        "selected_on": labels.get("selected_on") or status.get("selected_on") or settings.get("protocol.select_on"),
        "created": status.get("created"),
        "seconds": status.get("seconds"),
        "git": code.get("git") if isinstance(code, Mapping) else None,
        "manifest": provenance.get("manifest") or identity.get("manifest"),
        "weights": hash_of_weights(backbone.get("weights")) if isinstance(backbone, Mapping) else None,
        "problem": "; ".join(problems) or None,
    }
    return {key: value for key, value in facts.items() if value is not None}, settings, scores


def hash_of_weights(weights: Any) -> str | None:
    """Returns a short hash of a mapping part → SHA-256 of its weights; None if it is empty or not a mapping."""
    if not isinstance(weights, Mapping) or not weights:
        return None
    return hashlib.sha256(json.dumps(dict(weights), sort_keys=True).encode()).hexdigest()[:12]


def flatten(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (`prompt.num_base_ranks`, value) for all leaves of a nested mapping; lists are leaves."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def read_settings(text: str) -> dict[str, Any]:
    """Parses a config.yaml into flat settings.

    The text of each top-level key is parsed once and cached: as runs of a sweep differ in few lines, a thousand files
    take as long as about twenty.

    Raises:
        ValueError: if the text is not YAML, or not a mapping.
    """
    settings: dict[str, Any] = {}
    for block in _TOP_LEVEL_KEY.split(text):
        settings |= _parse_block(block)
    return settings


@lru_cache(maxsize=4096)
def _parse_block(text: str) -> dict[str, Any]:
    try:
        node = yaml.load(text, Loader=_YAML_LOADER)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if node is None:
        return {}
    if not isinstance(node, Mapping):
        raise ValueError("is not a mapping")
    return dict(flatten(current_names(node)))


def _settings(
    files: Files, labels: Mapping[str, Any], identity: Mapping[str, Any], problems: list[str]
) -> dict[str, Any]:
    """Settings of config.yaml; if that is missing or damaged, of identity.json, which lacks data set and subset."""
    text = files("config.yaml")
    if text is None:
        problems.append("no config.yaml")
    else:
        try:
            return read_settings(text)
        except ValueError:
            problems.append("config.yaml cannot be read")
    names = {f"{group}.name": labels[group] for group in ("dataset", "backbone", "prompt") if labels.get(group)}
    return dict(flatten(identity)) | names


def _json(files: Files, name: str, problems: list[str]) -> Mapping[str, Any]:
    text = files(name)
    if text is None:
        return {}
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, Mapping):
        problems.append(f"{name} cannot be read")
        return {}
    return content


def _numbers(node: Any, prefix: str = "") -> dict[str, float]:
    items = node.items() if isinstance(node, Mapping) else ()
    return {
        f"{prefix}{key}": float(value)
        for key, value in items
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
