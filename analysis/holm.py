"""Holm's correction of p-values for the number of comparisons."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given [Holm, A simple sequentially rejective multiple test procedure, 1979].

    The smallest of m is multiplied by m, the next by m - 1, …; none may be smaller than one before it, none over 1.
    Whatever the dependence between the tests, rejecting those that are at most α makes any false rejection at most
    α likely. A nan was not tested: it stays nan and is not counted.
    """
    p = np.asarray(p_values, dtype=float)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return [float(value) for value in adjusted]
