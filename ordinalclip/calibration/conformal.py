"""Split conformal prediction with sets of neighboring ranks, and Wilson's interval of a share.

Sets grow around an image's median rank towards the likelier neighbor; each contains the smaller ones and none has a
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
    """Wilson's score interval of a share, which is also valid near 0 and 1.

    Like `scipy.stats.binomtest(…).proportion_ci(method="wilson")`, which also computes a p-value and takes 6 times as
    long.

    Args:
        hits: number of successes.
        total: number of trials, at least 1.
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
    """The probability [N, R] of an image's set before each rank is added to it, from probabilities [N, R].

    It is 0 at the median and grows away from it in both directions, so the ranks up to any threshold are contiguous and
    include the median. Of equally likely neighbors the lower one is added first.
    """
    probs = np.nan_to_num(probs.astype(float))  # of a model that diverged, whose scores are nan
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
    """Lowest and highest rank [N] of the sets of ranks whose `mass_before` [N, R] is at most the threshold."""
    inside = before <= threshold
    return inside.argmax(axis=1), before.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)


def threshold_position(num_images: int, level: float) -> int:
    """Position of the threshold among n sorted scores, counted from 1: ⌈(n + 1) level⌉."""
    return math.ceil((num_images + 1) * level - _ROUNDING)


def min_images(level: float) -> int:
    """Smallest number of calibration images for a level; with fewer, only the set of all ranks has that coverage."""
    return math.ceil(level / (1 - level) - _ROUNDING)


def threshold_of(scores: Floats, level: float) -> float | None:
    """The ⌈(n + 1) level⌉-th smallest of the calibration scores [n]; None if there are too few."""
    place = threshold_position(len(scores), level)
    return None if place > len(scores) else float(np.sort(scores)[place - 1])


def coverage_range(num_images: int, level: float, share: float = 0.9) -> tuple[float, float]:
    """Central interval that contains the coverage of further images for a `share` of draws of n calibration images.

    Coverage is beta-distributed if no scores are tied.
    """
    place = threshold_position(num_images, level)
    low, high = beta.ppf([(1 - share) / 2, (1 + share) / 2], place, num_images + 1 - place)
    return float(low), float(high)
