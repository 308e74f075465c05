"""What one run's record says, as flat facts: read from its directory, or from the same files kept elsewhere.

Whatever is missing or torn costs its own facts and no others; `problem` says what that was.
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
_STATS = ("test", "val", "calibration")
_TOP_KEY = re.compile(r"^(?=[A-Za-z_])", re.MULTILINE)
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Files = Callable[[str], str | None]
"""Name of a file of the record → its text, or None where there is none."""


def read_record(files: Files) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """The facts, settings and scores of a record.

    Args:
        files: of the record.

    Returns:
        Some of `FACTS`; `prompt.num_base_ranks` → value for every setting; `test/mae` → value for every score, with
        `ordinality` (the paper's, at the best epoch) and what else ordinality.json has, as `ordinality/best/…`.
    """
    problems: list[str] = []
    status, labels = _json(files, "status.json", problems), _json(files, "labels.json", problems)
    identity = _json(files, "identity.json", problems)
    settings = _settings(files, labels, identity, problems)
    scores: dict[str, float] = {}
    for split in _STATS:
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
    """One short hash of part → SHA-256 of its weights; None where there are none to speak of."""
    if not isinstance(weights, Mapping) or not weights:
        return None
    return hashlib.sha256(json.dumps(dict(weights), sort_keys=True).encode()).hexdigest()[:12]


def flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`prompt.num_base_ranks`, value of all that a nested mapping holds; lists stay whole."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def read_settings(text: str) -> dict[str, Any]:
    """A config.yaml as flat settings.

    The runs of a sweep differ in few lines, so each top-level key's text is parsed once: a thousand files take the
    time of some twenty.

    Raises:
        ValueError: it is no YAML, or not a mapping.
    """
    settings: dict[str, Any] = {}
    for block in _TOP_KEY.split(text):
        settings |= _block(block)
    return settings


@lru_cache(maxsize=4096)
def _block(text: str) -> dict[str, Any]:
    try:
        node = yaml.load(text, Loader=_YAML)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if node is None:
        return {}
    if not isinstance(node, Mapping):
        raise ValueError("is no mapping")
    return dict(flat(current_names(node)))


def _settings(
    files: Files, labels: Mapping[str, Any], identity: Mapping[str, Any], problems: list[str]
) -> dict[str, Any]:
    """Of config.yaml; where that is missing or torn of identity.json, which lacks data set, subset and split."""
    text = files("config.yaml")
    if text is None:
        problems.append("no config.yaml")
    else:
        try:
            return read_settings(text)
        except ValueError:
            problems.append("config.yaml cannot be read")
    names = {f"{group}.name": labels[group] for group in ("dataset", "backbone", "prompt") if labels.get(group)}
    return dict(flat(identity)) | names


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
