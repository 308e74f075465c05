"""Split conformal prediction with sets of neighbouring ranks, and Wilson's interval of a share.

Sets grow around an image's median rank towards the likelier neighbour; each contains the smaller ones and none has a
gap. The growth is that of Lu, Angelopoulos and Pomerantz, "Improving trustworthiness of AI disease severity rating in
medical imaging with ordinal conformal prediction sets", MICCAI 2022, started at the median instead of the mode.

For images that are exchangeable with the calibration images, sets cover the true rank with probability 1 - α or more,
for any model and any number of calibration images (Vovk, Gammerman and Shafer, 2005). For one set of n calibration
images the coverage of further images is a draw from a beta distribution, see `coverage_range`.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, norm

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]
_ROUNDING = 1e-9  # 10 * 0.9 is 9


def wilson_interval(hits: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share of independent images; unlike the normal one it is of use at shares near 0 and 1.

    Args:
        hits: how many of them.
        total: images, at least one.
        level: nominal coverage.
    """
    z = float(norm.ppf((1 + level) / 2))
    share, shrunk = hits / total, 1 + z * z / total
    middle = (share + z * z / (2 * total)) / shrunk
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / shrunk
    return max(0.0, middle - half), min(1.0, middle + half)


def median_rank(probs: Floats) -> Integers:
    """The lowest rank [N] at or below which at least half of the probability [N, R] lies."""
    return (probs.astype(float).cumsum(axis=1) < 0.5).sum(axis=1).clip(max=probs.shape[1] - 1)


def mass_before(probs: Floats) -> Floats:
    """The probability that an image's set has before a rank joins it [N, R], of probabilities [N, R].

    0 at the median, and growing away from it in both directions: the ranks up to any amount are neighbours, and the
    median is always among them. Of equally likely neighbours the lower one joins first.
    """
    probs = np.nan_to_num(probs.astype(float))  # of a model that broke; its scores are nan, which shows it
    num_images, num_ranks = probs.shape
    rows = np.arange(num_images)
    padded = np.pad(probs, ((0, 0), (1, 1)), constant_values=-1.0)  # beyond the ends there is nothing to join
    lower = upper = median_rank(probs)
    before = np.zeros_like(probs)
    mass = probs[rows, lower]
    for _ in range(num_ranks - 1):
        below, above = padded[rows, lower], padded[rows, upper + 2]  # of ranks lower - 1 and upper + 1
        down = below >= above
        joined = np.where(down, lower - 1, upper + 1)
        before[rows, joined] = mass
        mass = mass + np.where(down, below, above)
        lower, upper = np.where(down, joined, lower), np.where(down, upper, joined)
    return before.clip(max=1)  # float32 probabilities may add up to a little more


def interval_ends(before: Floats, threshold: float) -> tuple[Integers, Integers]:
    """Lowest and highest rank [N] each of the sets of ranks whose mass before [N, R] is at most the threshold."""
    inside = before <= threshold
    return inside.argmax(axis=1), before.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)


def threshold_position(num_images: int, level: float) -> int:
    """Which of the n sorted scores is the threshold: the ⌈(n + 1) level⌉-th."""
    return math.ceil((num_images + 1) * level - _ROUNDING)


def min_images(level: float) -> int:
    """How many calibration images a level takes; with fewer only the set of all ranks is sure to cover so often."""
    return math.ceil(level / (1 - level) - _ROUNDING)


def threshold_of(scores: Floats, level: float) -> float | None:
    """The ⌈(n + 1) level⌉-th smallest of the calibration images' scores [n]; None where there are too few."""
    place = threshold_position(len(scores), level)
    return None if place > len(scores) else float(np.sort(scores)[place - 1])


def coverage_range(num_images: int, level: float, share: float = 0.9) -> tuple[float, float]:
    """Where the coverage of further images lies for a `share` of all draws of n calibration images, without ties."""
    place = threshold_position(num_images, level)
    low, high = beta.ppf([(1 - share) / 2, (1 + share) / 2], place, num_images + 1 - place)
    return float(low), float(high)
