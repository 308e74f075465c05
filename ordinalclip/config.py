"""From a composed configuration to its checks and to the id of the run it describes."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ordinalclip.datasets.labels import check_label_draw
from ordinalclip.errors import ConfigError
from ordinalclip.prompts.names import check_tokens, rank_names_of
from ordinalclip.signatures import check_target, did_you_mean

# What the code hands to a `_target_` beside what the yaml says.
RUNTIME = {
    "dataset": ("data_dir", "cache_dir"),
    "backbone": ("weights",),
    "prompt": ("text", "embed_dim", "rank_names"),
    "loss": (),
    "optimizer": ("params",),
    "schedule": (),
    "trainer": ("run_directory", "max_epochs", "callbacks"),
    "tracking": (),
}
# Keys of a group that describe it and are not arguments of its `_target_`.
DESCRIPTIVE = {
    "dataset": ("name", "context", "licence", "citation", "photos"),
    "backbone": ("name",),
    "prompt": ("name", "rank_names"),
    "optimizer": ("weight_decay_on", "lookahead"),
}
PLAIN_GROUPS = {
    "init": "Init",
    "trainable": "Trainable",
    "image_rates": "ImageRates",
    "subset": "Subset",
    "features": "Features",
    "cache": "Cache",
    "paths": "Paths",
}

# What a protocol may choose an epoch by; of all but the error the largest is best.
METRICS = ("mae", "accuracy", "accuracy_within_1", "qwk", "spearman")

# Cannot change a result, so they do not enter the id. `protocol.split` and `subset` act through the manifest's hash.
_NOT_IN_ID = (
    "paths",
    "cache",
    "tracking",
    "num_workers",
    "sweep_name",
    "tags",
    "rerun",
    "dataset",
    "subset",
    "lr",
)
_TRAINER_IN_ID = ("precision", "gradient_clip_val", "accumulate_grad_batches", "limit_batches")
# Options that came later, with the value that means what was done before they existed; left out of the id.
_NEUTRAL: dict[str, Any] = {
    "backbone.preprocessing": "own",
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


def plain(cfg: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as resolved plain dicts and lists.

    Raises:
        ConfigError: where an interpolation cannot be resolved or a value is missing.
    """
    if not isinstance(cfg, DictConfig):
        return dict(cfg)
    try:
        container = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(error.full_key or "config", "…", str(error).splitlines()[0]) from error
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items() if key != "hydra"}


def check(cfg: Mapping[str, Any], known: Mapping[str, float] | None = None) -> None:
    """Checks every key and value without importing torch for what is ours.

    Args:
        cfg: a configuration from `plain`.
        known: quantities that ranges refer to, such as `num_ranks`, as far as they are known by now.

    Raises:
        ConfigError: for the first key that is unknown, missing, of a wrong type or out of range.
    """
    known = known or {}
    _check_top(cfg)
    for group, schema in PLAIN_GROUPS.items():
        check_target({"_target_": f"ordinalclip.schema.{schema}"} | cfg[group], group, known=known)
    for group, runtime in RUNTIME.items():
        arguments = {k: v for k, v in cfg[group].items() if k not in DESCRIPTIVE.get(group, ())}
        check_target(arguments, group, known=known, runtime=runtime)
    _check_protocol(cfg["protocol"], known)
    num_ranks = known.get("num_ranks")
    rank_names_of(cfg["prompt"], None if num_ranks is None else int(num_ranks))
    if num_ranks is not None:
        check_tokens(cfg["prompt"], int(num_ranks))
    if cfg["augment"] is False and cfg["features"]["views"] > 0:
        problem = "keeps augmented views, which augment=false does not use"
        raise ConfigError("features.views", cfg["features"]["views"], problem, allowed="0, or augment=null")
    check_label_draw(cfg)
    if (cfg["trainer"].get("precision"), cfg["trainer"].get("accelerator")) == ("16-mixed", "cpu"):
        raise ConfigError("trainer.precision", "16-mixed", "is not for CPUs", allowed="32-true, bf16-mixed")
    _check_optimizer(cfg["optimizer"])
    _check_image_rates(cfg["image_rates"], cfg["trainable"]["image"])


def _check_top(cfg: Mapping[str, Any]) -> None:
    groups = {*RUNTIME, *PLAIN_GROUPS, "protocol"}
    for group in groups:
        if not isinstance(cfg.get(group), Mapping):
            raise ConfigError(
                group, cfg.get(group), "must be one of the group's options", allowed=f"{group}=<option>, see --help"
            )
    settings = {key: value for key, value in cfg.items() if key not in groups}
    check_target({"_target_": "ordinalclip.schema.Settings"} | settings, "")


def _check_optimizer(optimizer: Mapping[str, Any]) -> None:
    """What is ours in the group; the rest is checked against the optimiser's own signature."""
    decay_on, lookahead = optimizer.get("weight_decay_on", "weights"), optimizer.get("lookahead")
    if decay_on not in ("weights", "all"):
        raise ConfigError("optimizer.weight_decay_on", decay_on, "is unknown", allowed="weights, all")
    if optimizer.get("lr") is not None:
        remedy = "lr=… for all parts, trainable.<part>=… for one"
        raise ConfigError(
            "optimizer.lr", optimizer["lr"], "is not used: every part has a rate of its own", remedy=remedy
        )
    if lookahead is not None:
        if not isinstance(lookahead, Mapping):
            allowed = 'null, or optimizer.lookahead="{steps: 5, alpha: 0.8}"'
            raise ConfigError("optimizer.lookahead", lookahead, "is no mapping", allowed=allowed)
        check_target({"_target_": "ordinalclip.schema.Lookahead", **lookahead}, "optimizer.lookahead")


def _check_image_rates(rates: Mapping[str, Any], image: float | None) -> None:
    """Nothing may be asked for that nothing comes of."""
    neutral = {"new_layers": [], "new_factor": 1, "base_factor": 1, "layer_decay": None}
    changed = [key for key, value in rates.items() if value != neutral[key]]
    if changed and image is None:
        problem = "the image tower is frozen"
        raise ConfigError(f"image_rates.{changed[0]}", rates[changed[0]], problem, remedy="trainable.image=1e-5")
    if "new_factor" in changed and not rates["new_layers"]:
        problem = "no layer is new"
        remedy = "image_rates.new_layers=[…]"
        raise ConfigError("image_rates.new_factor", rates["new_factor"], problem, remedy=remedy)


def _check_protocol(protocol: Mapping[str, Any], known: Mapping[str, float]) -> None:
    allowed = {"split", "readout", "metric", "select_on", "leakage"}
    for key, value in protocol.items():
        if key not in allowed:
            words = ", ".join(sorted(allowed))
            hint = did_you_mean(key, sorted(allowed))
            raise ConfigError(f"protocol.{key}", value, "there is no such key", allowed=words, remedy=hint)
    check_target(protocol["split"], "protocol.split", known=known, runtime=("manifest",))
    if protocol["readout"] not in ("expectation", "argmax", "median"):
        raise ConfigError(
            "protocol.readout", protocol["readout"], "is no readout", allowed="expectation, argmax, median"
        )
    if protocol["select_on"] not in ("val", "test"):
        raise ConfigError("protocol.select_on", protocol["select_on"], "cannot be selected on", allowed="val, test")
    metric, leakage = protocol.get("metric", "mae"), protocol.get("leakage", "warn")
    if metric not in METRICS:
        raise ConfigError("protocol.metric", metric, "epochs are not chosen by it", allowed=", ".join(METRICS))
    if leakage not in ("warn", "forbid"):
        raise ConfigError("protocol.leakage", leakage, "is unknown", allowed="warn, forbid")


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
    kept["prompt"] = {k: v for k, v in cfg["prompt"].items() if k != "name"}
    kept["protocol"] = {k: v for k, v in cfg["protocol"].items() if k not in ("split", "leakage")}
    kept["augment"] = augments(cfg)
    kept["compile"] = cfg["compile"] and cfg["trainable"]["image"] is not None  # nothing comes of it elsewhere
    # The batch size can change last bits only; without features none of it has an effect.
    kept["features"] = {k: v for k, v in cfg["features"].items() if k != "batch_size"} if uses_features(cfg) else {}
    kept["manifest"] = manifest_hash
    kept["init"] = None if initial is None else {"checkpoint": initial, "parts": _sorted(cfg["init"]["parts"])}
    return _canonical(kept, "")


def _sorted(parts: Sequence[str] | None) -> list[str] | None:
    return None if parts is None else sorted(parts)


def stamp(cfg: Mapping[str, Any]) -> dict[str, str]:
    """What has to be told wherever a run's scores are: that its epoch was chosen on the test split, or nothing."""
    return {"selected_on": "test"} if cfg["protocol"]["select_on"] == "test" else {}


def selection(cfg: Mapping[str, Any]) -> tuple[str, bool]:
    """The validation score that an epoch is chosen by, as it is logged, and whether the largest is best."""
    protocol = cfg["protocol"]
    metric = protocol.get("metric", "mae")
    if metric != "mae":
        return f"val/{metric}", True
    return "val/mae" if protocol["readout"] == "expectation" else f"val/mae_{protocol['readout']}", False


def augments(cfg: Mapping[str, Any]) -> bool:
    """Whether training images are cropped and flipped; `augment=null`: where they are trained on or views are kept."""
    if cfg["augment"] is None:
        return cfg["trainable"]["image"] is not None or cfg["features"]["views"] > 0
    return cfg["augment"]


def uses_features(cfg: Mapping[str, Any]) -> bool:
    """Whether a run is fitted on features from disk: the image tower is frozen, and sees no fresh view each time."""
    return cfg["trainable"]["image"] is None and (not augments(cfg) or cfg["features"]["views"] > 0)


def _canonical(value: Any, key: str) -> Any:
    """One form for equal meanings: 1 = 1.0, null options left out, keys sorted by the JSON writer."""
    if isinstance(value, Mapping):
        items = {k: _canonical(v, f"{key}.{k}".lstrip(".")) for k, v in value.items() if v is not None}
        return {k: v for k, v in items.items() if _NEUTRAL.get(f"{key}.{k}".lstrip("."), _MISSING) != v}
    if isinstance(value, list | tuple):
        return [_canonical(v, key) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


_MISSING = object()


def run_id(identity: Mapping[str, Any]) -> str:
    """Ten hexadecimal digits of the SHA-256 of an identity."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def readable_name(cfg: Mapping[str, Any], run_id: str) -> str:
    """Directory name of a run: what a person looks for, then the id."""
    groups = (cfg[group] for group in ("dataset", "backbone", "prompt"))
    words = [group.get("name") or group["_target_"].rpartition(".")[2].lower() for group in groups]
    # A name may hold anything; a folder's must be one folder on every system.
    return "-".join([*(re.sub(r"[^\w.+-]+", "_", word) for word in words), f"s{cfg['seed']}", run_id])
