"""Split conformal prediction: the threshold with which sets of ranks cover the truth as often as stated.

For images that are exchangeable with the calibration images, sets cover the true rank with probability 1 - α or more,
whatever the model and however few calibration images (Vovk, Gammerman and Shafer, 2005). The probability is over both;
for one set of n calibration images the coverage of further ones is a draw from a beta distribution, see `spread`.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

Floats = npt.NDArray[np.floating]
_ROUNDING = 1e-9  # 10 * 0.9 is 9


def order_of(num_images: int, level: float) -> int:
    """Which of the n sorted scores is the threshold: the ⌈(n + 1) level⌉-th."""
    return math.ceil((num_images + 1) * level - _ROUNDING)


def fewest(level: float) -> int:
    """How many calibration images a level takes; with fewer only the set of all ranks is sure to cover so often."""
    return math.ceil(level / (1 - level) - _ROUNDING)


def threshold_of(scores: Floats, level: float) -> float | None:
    """The ⌈(n + 1) level⌉-th smallest of the calibration images' scores [n]; None where there are too few."""
    place = order_of(len(scores), level)
    return None if place > len(scores) else float(np.sort(scores)[place - 1])


def spread(num_images: int, level: float, share: float = 0.9) -> tuple[float, float]:
    """Where the coverage of further images lies for a `share` of all draws of n calibration images, without ties."""
    place = order_of(num_images, level)
    low, high = beta.ppf([(1 - share) / 2, (1 + share) / 2], place, num_images + 1 - place)
    return float(low), float(high)
