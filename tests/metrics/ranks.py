"""Rank features that are known to be ordered, or not."""

import numpy as np


def arc(num_ranks):
    """Features [R, 2] on a quarter circle, unevenly spaced: perfectly ordered, no two similarities equal."""
    angle = np.pi / 2 * (np.arange(num_ranks) / (num_ranks - 1)) ** 1.3
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def random_features(num_ranks, width=64, seed=0):
    """Features [R, D] without any order."""
    return np.random.default_rng(seed).normal(size=(num_ranks, width))
