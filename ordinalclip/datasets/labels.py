"""Whether several annotators' labels can be trained on as asked; `ordinalclip.label_draw` does it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ordinalclip.datasets.columns import CLEAN_RANK
from ordinalclip.errors import ConfigError

if TYPE_CHECKING:
    from ordinalclip.datasets.manifest import Manifest

# Losses whose ranks [B] may be shares [B, R] as well.
TAKE_SHARES = ("ordinalclip.losses.ce.CrossEntropy", "ordinalclip.losses.ce_kl.CrossEntropyKL")


def check_label_draw(cfg: Mapping[str, Any], manifest: "Manifest | None" = None) -> None:
    """See that `label_draw` can be had.

    Args:
        cfg: the configuration.
        manifest: its data, once they are known.

    Raises:
        ConfigError: for a loss that takes no distribution, or data of one label an image.
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
    if CLEAN_RANK in manifest.table:
        raise ConfigError("label_draw", how, "cannot go with subset.label_noise", allowed="median")
