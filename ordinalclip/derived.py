"""What several settings amount to together. Imports no torch."""

from collections.abc import Mapping
from typing import Any


def stamp(cfg: Mapping[str, Any]) -> dict[str, str]:
    """What has to be told wherever a run's scores are: that its epoch was chosen on the test split, or nothing."""
    return {"selected_on": "test"} if cfg["protocol"]["select_on"] == "test" else {}


def selection(cfg: Mapping[str, Any]) -> tuple[str, bool]:
    """The validation score that an epoch is chosen by, as it is logged, and whether the largest is best."""
    protocol = cfg["protocol"]
    metric = protocol.get("metric", "mae")
    if metric != "mae":
        return f"val/{metric}", True
    return f"val/{mae_of(protocol['readout'])}", False


def mae_of(readout: str) -> str:
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
