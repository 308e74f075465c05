"""Scores that every image has on its own, whose mean is the run's score: what paired comparisons are made of.

Needs no torch: a thousand runs are compared from their tables.
"""

import numpy as np
import numpy.typing as npt

from ordinalclip.metrics.names import READOUTS
from ordinalclip.predictions import Predictions

Floats = npt.NDArray[np.floating]
_TINY = float(np.finfo(np.float32).tiny)


def readouts(probs: Floats, values: Floats | None = None) -> dict[str, Floats]:
    """Every readout [N] of probabilities [N, R], in ranks, or in the unit of the ranks' values [R].

    Equal to those of `ordinalclip.metrics.readout`.
    """
    probs = probs.astype(float)
    last = probs.shape[1] - 1
    mean = probs @ np.arange(last + 1)
    ranks = {
        "argmax": probs.argmax(axis=1),
        "median": (probs.cumsum(axis=1) < 0.5).sum(axis=1).clip(max=last),
        "rounded_expectation": np.rint(mean).clip(0, last).astype(int),
    }
    if values is None:
        return {"expectation": mean} | {name: rank.astype(float) for name, rank in ranks.items()}
    return {"expectation": probs @ values} | {name: values[rank] for name, rank in ranks.items()}


def per_image(predictions: Predictions) -> dict[str, Floats]:
    """Scores [N] by name, as in `names.SCORES`: their means are the run's scores of these names."""
    probs, rank = predictions.probs.astype(float), predictions.rank
    in_ranks, in_unit = readouts(probs), readouts(probs, predictions.rank_values)
    true_value = predictions.rank_values[rank]
    found: dict[str, Floats] = {}
    for readout in READOUTS:
        suffix = "" if readout == "expectation" else f"_{readout}"
        found[f"mae{suffix}"] = np.abs(in_ranks[readout] - rank)
        found[f"mae_value{suffix}"] = np.abs(in_unit[readout] - true_value)
    found["accuracy"] = (in_ranks["argmax"] == rank).astype(float)
    found["accuracy_expectation"] = (in_ranks["rounded_expectation"] == rank).astype(float)
    found["accuracy_within_1"] = (np.abs(in_ranks["argmax"] - rank) <= 1).astype(float)
    reached = rank[:, None] <= np.arange(predictions.num_ranks)
    found["rps"] = np.square(probs.cumsum(axis=1) - reached)[:, :-1].sum(axis=1) / max(predictions.num_ranks - 1, 1)
    true_prob = probs[np.arange(len(rank)), rank]
    found["nll"] = -np.log(true_prob.clip(min=_TINY))
    found["brier"] = np.square(probs).sum(axis=1) - 2 * true_prob + 1
    return found
