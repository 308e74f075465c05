"""Checks of each group of a configuration by itself: known keys, types and ranges.

Imports no torch. Agreement of prompt, backbone and data is checked by `ordinalclip.preparation.checks`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ordinalclip.config.signatures import check_target
from ordinalclip.errors import ConfigError, did_you_mean

# Arguments that the code passes to a `_target_` in addition to the yaml's.
RUNTIME = {
    "dataset": ("data_dir", "cache_dir"),
    "backbone": ("weights",),
    "prompt": ("text", "embed_dim", "rank_names"),
    "loss": (),
    "optimizer": ("params",),
    "schedule": (),
    "trainer": ("run_directory", "max_epochs", "callbacks", "world"),
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
    "cluster": "Cluster",
}

_PASSED: set[str] = set()

# Scores by which a protocol may select an epoch. For all but mae the largest is best.
METRICS = ("mae", "accuracy", "accuracy_within_1", "qwk", "spearman")
# Ways to reduce a distribution over ranks to one number.
READOUTS = ("expectation", "argmax", "median", "rounded_expectation")


def check_groups(cfg: Mapping[str, Any], known: Mapping[str, float] | None = None) -> None:
    """Checks every key and value of every group without importing torch for classes of this project.

    Args:
        cfg: a configuration from `plain`.
        known: quantities that ranges refer to, such as `num_ranks`, as far as they are known.

    Raises:
        ConfigError: for the first key that is unknown, missing, of a wrong type or out of range.
    """
    known = known or {}
    _check_top(cfg)
    for group, schema in PLAIN_GROUPS.items():
        _check_once({"_target_": f"ordinalclip.config.schema.{schema}"} | cfg[group], group, known)
    for group, runtime in RUNTIME.items():
        arguments = {k: v for k, v in cfg[group].items() if k not in DESCRIPTIVE.get(group, ())}
        _check_once(arguments, group, known, runtime)
    _check_register(cfg)
    _check_protocol(cfg["protocol"], known)


def _check_top(cfg: Mapping[str, Any]) -> None:
    groups = {*RUNTIME, *PLAIN_GROUPS, "protocol"}
    for group in groups:
        if not isinstance(cfg.get(group), Mapping):
            raise ConfigError(
                group, cfg.get(group), "must be one of the group's options", allowed=f"{group}=<option>, see --help"
            )
    settings = {key: value for key, value in cfg.items() if key not in groups}
    _check_once({"_target_": "ordinalclip.config.schema.Settings"} | settings, "", {})


def _check_once(node: dict[str, Any], group: str, known: Mapping[str, float], runtime: Sequence[str] = ()) -> None:
    """Checks a group against its signature, once per content: most groups are equal in all runs of a sweep."""
    key = repr((node, group, sorted(known.items()), runtime))
    if key not in _PASSED:
        check_target(node, group, known=known, runtime=runtime)
        _PASSED.add(key)


def _check_register(cfg: Mapping[str, Any]) -> None:
    if cfg.get("register") and "uri" not in cfg["tracking"]:
        allowed = "tracking=local, tracking=server"
        raise ConfigError("register", True, "tracking=offline has no store to register in", allowed=allowed)


def _check_protocol(protocol: Mapping[str, Any], known: Mapping[str, float]) -> None:
    allowed = {"split", "readout", "metric", "select_on", "leakage", "calibration"}
    for key, value in protocol.items():
        if key not in allowed:
            words = ", ".join(sorted(allowed))
            hint = did_you_mean(key, sorted(allowed))
            raise ConfigError(f"protocol.{key}", value, "there is no such key", allowed=words, remedy=hint)
    check_target(protocol["split"], "protocol.split", known=known, runtime=("manifest",))
    if protocol["readout"] not in READOUTS:
        raise ConfigError("protocol.readout", protocol["readout"], "is no readout", allowed=", ".join(READOUTS))
    if protocol["select_on"] not in ("val", "test"):
        raise ConfigError("protocol.select_on", protocol["select_on"], "cannot be selected on", allowed="val, test")
    metric, leakage = protocol.get("metric", "mae"), protocol.get("leakage", "warn")
    if metric not in METRICS:
        raise ConfigError("protocol.metric", metric, "epochs are not chosen by it", allowed=", ".join(METRICS))
    share = protocol.get("calibration", 0)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        raise ConfigError("protocol.calibration", share, "is no share of the val images", allowed="0 up to below 1")
    if leakage not in ("warn", "forbid"):
        raise ConfigError("protocol.leakage", leakage, "is unknown", allowed="warn, forbid")
