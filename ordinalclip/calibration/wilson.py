"""Wilson's interval of a share."""

import math

from scipy.stats import norm


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
