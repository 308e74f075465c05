"""Temperature scaling: one number that makes probabilities less sure, or surer, and changes no argmax.

Guo et al., "On calibration of modern neural networks", ICML 2017. It is a softmax of logits / T, which follows from the
probabilities alone: p^(1/T), normalised.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

Floats = npt.NDArray[np.floating]

LIMITS = (0.05, 20.0)
_TINY = float(np.finfo(np.float32).tiny)  # what underflowed in a softmax of float32


def scale(probs: Floats, temperature: float) -> Floats:
    """Probabilities [N, R], float64, of probabilities [N, R] at a temperature: 1 changes nothing, more is less sure."""
    logits = np.log(probs.astype(float).clip(min=_TINY)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probs: Floats, rank: npt.NDArray[np.integer]) -> float:
    """The temperature with the least negative log-likelihood, within `LIMITS`, of probabilities [N, R] and ranks [N].

    The likelihood is concave in 1/T, so there is one. A model that is right about every image has none, nor has one
    that knows less than nothing: a limit is returned. 1 where the temperature makes no difference.
    """
    logits = np.log(probs.astype(float).clip(min=_TINY))
    logits -= logits.max(axis=1, keepdims=True)
    true = logits[np.arange(len(rank)), rank]

    def loss(log_inverse: float) -> float:
        inverse = np.exp(log_inverse)
        return float(np.mean(np.log(np.exp(inverse * logits).sum(axis=1)) - inverse * true))

    low, high = LIMITS
    bounds = (-np.log(high), -np.log(low))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    best = min([float(found.x), *bounds], key=loss)  # bounded search never tries its ends
    return 1.0 if loss(0.0) <= loss(best) + 1e-12 else float(np.exp(-best))  # where it makes no difference, none
