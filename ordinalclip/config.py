"""From a composed configuration to plain settings, each of them checked."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ordinalclip.backbones.settings import check_backbone, room_for_words
from ordinalclip.datasets.labels import check_label_draw
from ordinalclip.errors import ConfigError
from ordinalclip.metrics.names import READOUTS
from ordinalclip.prompts.names import rank_names_of
from ordinalclip.prompts.settings import check_prompt
from ordinalclip.signatures import check_target, did_you_mean

# What the code hands to a `_target_` beside what the yaml says.
RUNTIME = {
    "dataset": ("data_dir", "cache_dir"),
    "backbone": ("weights",),
    "prompt": ("text", "embed_dim", "rank_names"),
    "loss": (),
    "optimizer": ("params",),
    "schedule": (),
    "trainer": ("run_directory", "max_epochs", "callbacks", "team"),
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

# What a protocol may choose an epoch by; of all but the error the largest is best.
METRICS = ("mae", "accuracy", "accuracy_within_1", "qwk", "spearman")


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
        _check_once({"_target_": f"ordinalclip.schema.{schema}"} | cfg[group], group, known)
    for group, runtime in RUNTIME.items():
        arguments = {k: v for k, v in cfg[group].items() if k not in DESCRIPTIVE.get(group, ())}
        _check_once(arguments, group, known, runtime)
    _check_register(cfg)
    _check_protocol(cfg["protocol"], known)
    num_ranks = None if known.get("num_ranks") is None else int(known["num_ranks"])
    rank_names_of(cfg["prompt"], num_ranks)
    check_backbone(cfg["backbone"])
    check_prompt(cfg["prompt"], num_ranks, room_for_words(cfg["backbone"]))
    if cfg["augment"] is False and cfg["features"]["views"] > 0:
        problem = "keeps augmented views, which augment=false does not use"
        raise ConfigError("features.views", cfg["features"]["views"], problem, allowed="0, or augment=null")
    check_label_draw(cfg)
    if (cfg["trainer"].get("precision"), cfg["trainer"].get("accelerator")) == ("16-mixed", "cpu"):
        raise ConfigError("trainer.precision", "16-mixed", "is not for CPUs", allowed="32-true, bf16-mixed")
    if cfg["trainer"].get("devices", 1) > cfg["batch_size"]:
        problem = f"a batch has only batch_size={cfg['batch_size']} images to share"
        raise ConfigError("trainer.devices", cfg["trainer"]["devices"], problem)
    _check_optimizer(cfg["optimizer"], cfg["trainer"])
    _check_schedule(cfg["schedule"])
    _check_image_rates(cfg["image_rates"], cfg["trainable"]["image"])


def _check_top(cfg: Mapping[str, Any]) -> None:
    groups = {*RUNTIME, *PLAIN_GROUPS, "protocol"}
    for group in groups:
        if not isinstance(cfg.get(group), Mapping):
            raise ConfigError(
                group, cfg.get(group), "must be one of the group's options", allowed=f"{group}=<option>, see --help"
            )
    settings = {key: value for key, value in cfg.items() if key not in groups}
    _check_once({"_target_": "ordinalclip.schema.Settings"} | settings, "", {})


def _check_once(node: dict[str, Any], group: str, known: Mapping[str, float], runtime: Sequence[str] = ()) -> None:
    """Checks a group against its signature; what has passed before, as most groups of a sweep's runs have, passes."""
    key = repr((node, group, sorted(known.items()), runtime))
    if key not in _PASSED:
        check_target(node, group, known=known, runtime=runtime)
        _PASSED.add(key)


def _check_optimizer(optimizer: Mapping[str, Any], trainer: Mapping[str, Any]) -> None:
    """What is ours in the group; the rest is checked against the optimiser's own signature."""
    decay_on, lookahead = optimizer.get("weight_decay_on", "weights"), optimizer.get("lookahead")
    if decay_on not in ("weights", "all"):
        raise ConfigError("optimizer.weight_decay_on", decay_on, "is unknown", allowed="weights, all")
    if optimizer.get("lr") is not None:
        remedy = "lr=… for all parts, trainable.<part>=… for one"
        raise ConfigError(
            "optimizer.lr", optimizer["lr"], "is not used: every part has a rate of its own", remedy=remedy
        )
    clipped = (trainer.get("gradient_clip_val") or 0) > 0
    if optimizer.get("fused") is True and clipped and trainer.get("precision") == "16-mixed":
        problem = "a fused optimiser unscales float16's gradients itself, too late for trainer.gradient_clip_val"
        remedy = "optimizer.fused=false, or trainer.precision=bf16-mixed"
        raise ConfigError("optimizer.fused", True, problem, remedy=remedy)
    if lookahead is not None:
        if not isinstance(lookahead, Mapping):
            allowed = 'null, or optimizer.lookahead="{steps: 5, alpha: 0.8}"'
            raise ConfigError("optimizer.lookahead", lookahead, "is no mapping", allowed=allowed)
        check_target({"_target_": "ordinalclip.schema.Lookahead", **lookahead}, "optimizer.lookahead")


def _check_schedule(schedule: Mapping[str, Any]) -> None:
    """Ours need no torch to be built, and check what a signature cannot say."""
    if schedule["_target_"].startswith("ordinalclip.schedules."):
        get_class(schedule["_target_"])(**{key: value for key, value in schedule.items() if key != "_target_"})


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
