"""Images whose ranks are drawn from known distributions, and a model that knows them only in part."""

import numpy as np

from ordinalclip.scoring.predictions import Predictions


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def draw(num_images, num_ranks, rng, sharpness=1.0):
    """Logits [N, R] that are right where sharpness is 1, and ranks [N]."""
    centre = rng.uniform(0, num_ranks - 1, num_images)
    spread = rng.uniform(0.5, 2.0, num_images)
    logits = -(((np.arange(num_ranks) - centre[:, None]) / spread[:, None]) ** 2) / 2
    logits += 0.3 * rng.normal(size=logits.shape)
    rank = (softmax(logits).cumsum(axis=1) < rng.random((num_images, 1))).sum(axis=1).clip(max=num_ranks - 1)
    return sharpness * logits, rank


def predictions(num_images, num_ranks=6, seed=0, sharpness=1.0, family=None):
    logits, rank = draw(num_images, num_ranks, np.random.default_rng(seed), sharpness)
    names, values = [f"r{i}" for i in range(num_ranks)], 10.0 * np.arange(num_ranks)
    return Predictions(softmax(logits).astype(np.float32), rank, names, values, "years", family=family)
