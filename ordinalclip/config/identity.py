"""The identity of a run: what determines its result, the run id hashed from it, and the run's name.

`cannot_change_results` lists the settings that are left out of the id; `REPEAT_KEYS` those that only repeat an
experiment. The small functions at the end combine several settings, such as `uses_features`. Imports no torch.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ordinalclip.config.moved_names import first_name

# Left out of the id, since they cannot change a result, or change it through the manifest, whose hash is in the id
# (`dataset`, `subset`, and below `protocol.split` and `protocol.calibration`).
_NOT_IN_ID = (
    "paths",
    "cache",
    "cluster",
    "tracking",
    "num_workers",
    "alpha",
    "sweep_name",
    "tags",
    "register",
    "rerun",
    "dataset",
    "subset",
    "lr",
)
_TRAINER_IN_ID = ("precision", "gradient_clip_val", "accumulate_grad_batches", "limit_batches")
# Options added later, with the value that keeps the earlier behavior. At that value they are left out of the id.
_NEUTRAL: dict[str, Any] = {
    "backbone.preprocessing": "own",
    "backbone.layer": "last",
    "backbone.text_tower": "minilm",
    "compile": False,
    "label_draw": "median",
    "protocol.metric": "mae",
    "optimizer.fused": True,
    "image_rates.new_layers": [],
    "image_rates.new_factor": 1,
    "image_rates.base_factor": 1,
    "image_rates": {},  # what is left of it then
    "features": {},
    "features.views": 0,
    "features.precision": "fp32",
}
# Versions of backbones whose initial values have changed, so that new runs get other ids. The last layer of mixed
# backbones was first drawn from N(0, 2/D).
_VERSIONS = {"ordinalclip.backbones.mixed.build_mixed": 2}
_MISSING = object()

REPEAT_KEYS = ("seed", "dataset.fold", "protocol.split.fold", "protocol.split.seed", "subset.seed")


def identity(
    cfg: Mapping[str, Any], *, manifest_hash: str, weights: Mapping[str, str], initial: str | None = None
) -> dict[str, Any]:
    """What determines a run's result, in canonical form: its JSON is what the run id hashes.

    Args:
        cfg: a configuration from `plain`.
        manifest_hash: content hash of the data with its split.
        weights: part → SHA-256 of its weights, a tokenizer's folder among them; takes the place of paths and tags.
        initial: SHA-256 of the checkpoint that initial values come from.
    """
    kept = {key: value for key, value in cfg.items() if key not in _NOT_IN_ID}
    kept["trainer"] = {k: v for k, v in cfg["trainer"].items() if k in _TRAINER_IN_ID}
    kept["backbone"] = {k: v for k, v in cfg["backbone"].items() if k not in ("name", "weights", "tokenizer")}
    kept["backbone"]["weights"] = dict(weights)
    if cfg["backbone"]["_target_"] in _VERSIONS:
        kept["backbone"]["version"] = _VERSIONS[cfg["backbone"]["_target_"]]
    kept["prompt"] = {k: v for k, v in cfg["prompt"].items() if k != "name"}
    kept["protocol"] = {k: v for k, v in cfg["protocol"].items() if k not in ("split", "leakage", "calibration")}
    kept["augment"] = augments(cfg)
    kept["compile"] = cfg["compile"] and cfg["trainable"]["image"] is not None  # no effect on a frozen tower
    # The batch size changes the last bits only. Without cached features none of these settings has an effect.
    kept["features"] = {k: v for k, v in cfg["features"].items() if k != "batch_size"} if uses_features(cfg) else {}
    kept["manifest"] = manifest_hash
    kept["init"] = None if initial is None else {"checkpoint": initial, "parts": _sorted(cfg["init"]["parts"])}
    return _canonical(kept, "")


def run_id(identity: Mapping[str, Any]) -> str:
    """Returns the first ten hexadecimal digits of the SHA-256 of an identity."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def readable_name(cfg: Mapping[str, Any], run_id: str) -> str:
    """Returns the directory name of a run: data set, backbone, prompt, seed and id."""
    groups = (cfg[group] for group in ("dataset", "backbone", "prompt"))
    words = [group.get("name") or group["_target_"].rpartition(".")[2].lower() for group in groups]
    # Names may contain any characters; the result must be a single folder on every system.
    return "-".join([*(re.sub(r"[^\w.+-]+", "_", word) for word in words), f"s{cfg['seed']}", run_id])


def cannot_change_results() -> tuple[str, ...]:
    """Returns the groups and settings that cannot change a result."""
    return tuple(key for key in _NOT_IN_ID if key not in ("dataset", "subset", "lr"))


def neutral_value(key: str) -> Any:
    """Returns the value of a later option in records from before it existed; None for other keys."""
    return _NEUTRAL.get(key)


def _sorted(parts: Sequence[str] | None) -> list[str] | None:
    return None if parts is None else sorted(parts)


def _canonical(value: Any, key: str) -> Any:
    """Maps equal meanings to one form: 1.0 to 1, null options left out, a `_target_` by its first name."""
    if isinstance(value, Mapping):
        items = {k: _canonical(v, f"{key}.{k}".lstrip(".")) for k, v in value.items() if v is not None}
        if isinstance(items.get("_target_"), str):
            items["_target_"] = first_name(items["_target_"])
        return {k: v for k, v in items.items() if _NEUTRAL.get(f"{key}.{k}".lstrip("."), _MISSING) != v}
    if isinstance(value, list | tuple):
        return [_canonical(v, key) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def selection_labels(cfg: Mapping[str, Any]) -> dict[str, str]:
    """Returns {"selected_on": "test"}, which every table with the run's scores must show, or {}."""
    return {"selected_on": "test"} if cfg["protocol"]["select_on"] == "test" else {}


def selection_metric(cfg: Mapping[str, Any]) -> tuple[str, bool]:
    """Returns the logged validation score that selects the epoch, and whether the largest is best."""
    protocol = cfg["protocol"]
    metric = protocol.get("metric", "mae")
    if metric != "mae":
        return f"val/{metric}", True
    return f"val/{mae_name(protocol['readout'])}", False


def mae_name(readout: str) -> str:
    """Name of a readout's mean absolute error in ranks, without its split: of the declared one, the primary score."""
    return "mae" if readout == "expectation" else f"mae_{readout}"


def augments(cfg: Mapping[str, Any]) -> bool:
    """Whether training images are cropped and flipped; `augment=null`: where they are trained on or views are kept."""
    if cfg["augment"] is None:
        return cfg["trainable"]["image"] is not None or cfg["features"]["views"] > 0
    return cfg["augment"]


def uses_features(cfg: Mapping[str, Any]) -> bool:
    """Whether a run is fitted on features from disk: the image tower is frozen, and sees no fresh view each time."""
    return cfg["trainable"]["image"] is None and (not augments(cfg) or cfg["features"]["views"] > 0)
