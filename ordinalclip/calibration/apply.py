"""A run's calibration applied to new predictions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ordinalclip.calibration.growth import ends, mass_before
from ordinalclip.calibration.record import level_name
from ordinalclip.calibration.temperature import scale
from ordinalclip.errors import ConfigError

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]

NONE = "nothing was calibrated for these ranks"  # an old run, or an export with other ranks than its run


@dataclass(frozen=True, eq=False)
class Calibrated:
    """New predictions of N images with intervals.

    Attributes:
        probs: probabilities at the fitted temperature [N, R]; as they were where none could be fitted.
        lower: lowest rank of each image's set [N]; None where the level has no threshold.
        upper: highest rank of each image's set [N], which belongs to it.
        level: the stated coverage.
        reason: why there are no sets; empty where there are.
    """

    probs: Floats
    lower: Integers | None
    upper: Integers | None
    level: float
    reason: str


def apply_calibration(probs: Floats, record: Mapping[str, Any] | None, level: float | None = None) -> Calibrated:
    """Calibrated probabilities and a set of neighbouring ranks for each image.

    Every set holds the image's median rank. Another readout may lie outside of it.

    Args:
        probs: probabilities [N, R], as the model gives them.
        record: content of the run's calibration.json; None where it has none.
        level: stated coverage, one of the record's; None: the record's default, of which there may be no sets.

    Raises:
        ConfigError: the record has no such level, or no sets of it.
    """
    probs = np.asarray(probs)
    if record is None:
        if level is not None:
            raise ConfigError("level", level, f"there are no intervals: {NONE}", remedy="leave level out")
        return Calibrated(probs.astype(float), None, None, 0.9, NONE)
    name = record["default"] if level is None else level_name(level)
    if name not in record["levels"]:
        problem = "is not among the levels that the run was calibrated for"
        raise ConfigError("level", level, problem, allowed=", ".join(record["levels"]))
    entry, temperature = record["levels"][name], record["temperature"]
    if level is not None and entry["threshold"] is None:
        fitted = [name for name, entry in record["levels"].items() if entry["threshold"] is not None]
        problem = f"there are no such intervals: {entry['reason']}"
        raise ConfigError(
            "level", level, problem, allowed=", ".join(fitted), remedy="" if fitted else "leave level out"
        )
    scaled = probs.astype(float) if temperature is None else scale(probs, temperature)
    if entry["threshold"] is None:
        return Calibrated(scaled, None, None, float(name), entry["reason"])
    lower, upper = ends(mass_before(probs), entry["threshold"])
    return Calibrated(scaled, lower, upper, float(name), "")
