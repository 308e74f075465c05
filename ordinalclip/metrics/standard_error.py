"""Standard error of a mean whose images come in groups, such as several of a person. Needs no torch."""

import numpy as np
import numpy.typing as npt


def clustered_standard_error(values: npt.NDArray[np.floating], group: npt.NDArray[np.integer] | None = None) -> float:
    """Standard error of the mean of values [N], by linearisation: √(G/(G-1) Σ_g (Σ_(i in g) (x_i - mean))²) / N.

    Args:
        values: [N].
        group: [N], equal numbers for images that belong together; None: each stands alone, which gives s/√N.

    Returns:
        nan for fewer than two groups.
    """
    if group is None:
        sums = values - values.mean() if len(values) else values
    else:
        _, index = np.unique(group, return_inverse=True)
        sums = np.bincount(index, values - values.mean()) if len(values) else values
    num_groups = len(sums)
    if num_groups < 2:
        return float("nan")
    return float(np.sqrt(num_groups / (num_groups - 1) * np.square(sums).sum()) / len(values))
