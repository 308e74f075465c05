"""Checks of a whole configuration before any expensive work. Imports no torch."""

import os
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hydra.utils import get_class

from ordinalclip.backbones.checks import check_backbone, max_prompt_tokens
from ordinalclip.config.checks import check_groups
from ordinalclip.config.signatures import check_target
from ordinalclip.errors import ConfigError
from ordinalclip.prompts.checks import check_prompt, rank_names_of

if TYPE_CHECKING:  # pandas is not imported to check settings
    from ordinalclip.datasets.manifest import Manifest

# Losses that also accept shares [B, R] in place of ranks [B].
TAKE_SHARES = ("ordinalclip.losses.ce.CrossEntropy", "ordinalclip.losses.ce_kl.CrossEntropyKL")


def check(cfg: Mapping[str, Any], known: Mapping[str, float] | None = None) -> None:
    """Checks every key and value; imports no torch for targets in this package.

    Args:
        cfg: the configuration as plain dicts.
        known: quantities that ranges refer to, such as `num_ranks`, if they are known already.

    Raises:
        ConfigError: a key is unknown, missing, of a wrong type or out of range.
    """
    known = known or {}
    check_groups(cfg, known)
    num_ranks = None if known.get("num_ranks") is None else int(known["num_ranks"])
    rank_names_of(cfg["prompt"], num_ranks)
    check_backbone(cfg["backbone"])
    check_prompt(cfg["prompt"], num_ranks, max_prompt_tokens(cfg["backbone"]))
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


def check_label_draw(cfg: Mapping[str, Any], manifest: "Manifest | None" = None) -> None:
    """Checks `label_draw`.

    Args:
        cfg: the configuration.
        manifest: its data set; None: not read yet.

    Raises:
        ConfigError: the loss takes no distribution, or the data have one label per image.
    """
    how = cfg["label_draw"]
    if how == "median":
        return
    if how == "distribution" and cfg["loss"]["_target_"] not in TAKE_SHARES:
        raise ConfigError(
            "label_draw", how, "this loss takes one rank an image", allowed="median, random, or loss=ce_kl, loss=ce"
        )
    if manifest is None:
        return
    if "labels" not in manifest.table:
        kept = cfg["dataset"].get("labels") is not False
        allowed = "median" if kept else "median, or with dataset.labels=true any"
        raise ConfigError("label_draw", how, f"{manifest.name} has one label an image", allowed=allowed)
    from ordinalclip.datasets.manifest import CLEAN_RANK

    if CLEAN_RANK in manifest.table:
        raise ConfigError("label_draw", how, "cannot go with subset.label_noise", allowed="median")


def check_compiler() -> None:
    """Raises ConfigError if there is no C++ compiler, without which torch.compile fails at the first step."""
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        remedy = "install one (Debian: apt-get install g++), name it in CXX, or leave compile=false"
        raise ConfigError("compile", "true", "there is no C++ compiler on this machine", remedy=remedy)


def _check_optimizer(optimizer: Mapping[str, Any], trainer: Mapping[str, Any]) -> None:
    """Checks the options of this package; others are checked against the optimizer's signature."""
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
        check_target({"_target_": "ordinalclip.config.schema.Lookahead", **lookahead}, "optimizer.lookahead")


def _check_schedule(schedule: Mapping[str, Any]) -> None:
    """Builds a schedule of this package, whose constructor checks its values and needs no torch."""
    if schedule["_target_"].startswith("ordinalclip.optimizers.schedules."):
        get_class(schedule["_target_"])(**{key: value for key, value in schedule.items() if key != "_target_"})


def _check_image_rates(rates: Mapping[str, Any], image: float | None) -> None:
    """Raises ConfigError for rates that would have no effect."""
    neutral = {"new_layers": [], "new_factor": 1, "base_factor": 1, "layer_decay": None}
    changed = [key for key, value in rates.items() if value != neutral[key]]
    if changed and image is None:
        problem = "the image tower is frozen"
        raise ConfigError(f"image_rates.{changed[0]}", rates[changed[0]], problem, remedy="trainable.image=1e-5")
    if "new_factor" in changed and not rates["new_layers"]:
        problem = "no layer is new"
        remedy = "image_rates.new_layers=[…]"
        raise ConfigError("image_rates.new_factor", rates["new_factor"], problem, remedy=remedy)
