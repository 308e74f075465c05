"""Sets of neighbouring ranks that grow around an image's median, towards the likelier neighbour.

Each set contains the smaller ones and none has a gap. The growth is that of Lu, Angelopoulos and Pomerantz, "Improving
trustworthiness of AI disease severity rating in medical imaging with ordinal conformal prediction sets", MICCAI 2022,
begun at the median rather than the mode.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]


def median_rank(probs: Floats) -> Integers:
    """The lowest rank [N] at or below which at least half of the probability [N, R] lies."""
    return (probs.astype(float).cumsum(axis=1) < 0.5).sum(axis=1).clip(max=probs.shape[1] - 1)


def mass_before(probs: Floats) -> Floats:
    """The probability that an image's set has before a rank joins it [N, R], of probabilities [N, R].

    0 at the median, and growing away from it in both directions: the ranks up to any amount are neighbours, and the
    median is always among them. Of equally likely neighbours the lower one joins first.
    """
    probs = np.nan_to_num(probs.astype(float))  # of a model that broke; its scores are nan, which tells
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


def ends(before: Floats, threshold: float) -> tuple[Integers, Integers]:
    """Lowest and highest rank [N] each of the sets of ranks whose mass before [N, R] is at most the threshold."""
    inside = before <= threshold
    return inside.argmax(axis=1), before.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
