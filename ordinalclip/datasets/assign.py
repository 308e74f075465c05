"""Sharing out whole units (images, subjects, blocks) so that each split has every rank in proportion."""

import numpy as np

NUM_SHUFFLES = 100


def assign_units(
    counts: np.ndarray, fractions: np.ndarray, rng: np.random.Generator, *, level: bool = False
) -> np.ndarray:
    """Assign units to splits.

    Units of a single image are dealt out exactly, rank by rank. Larger ones are placed one by one, the largest first,
    each where the rank histograms come nearest to their targets; of many shuffled orders the best outcome is taken.
    For that, ranks with too few images to be shared out are counted together with their neighbours.

    Args:
        counts: [U, R] images of each rank in each unit.
        fractions: [S] share of each split; they add up to 1.
        rng: source of the shuffles.
        level: where splits are equally near to their targets, take the one that lacks the most images, else the first.
            It is done in any case where a split would stay empty.

    Returns:
        [U] index of the split of each unit.
    """
    sizes = counts.sum(axis=1)
    if (sizes == 1).all():
        return _deal(counts.argmax(axis=1), fractions, rng)
    counts = _joined(counts, 1 / fractions.min())
    # Many units need no second try: the largest are placed first, and the small ones even out the rest.
    tries = int(np.clip(NUM_SHUFFLES * 50 // len(counts), 1, NUM_SHUFFLES))
    best, least = np.zeros(len(counts), dtype=np.int64), np.inf
    for _ in range(tries):
        order = rng.permutation(len(counts))
        order = order[np.argsort(-sizes[order], kind="stable")]
        split = _place(counts, fractions, order, level)
        distance = _distance(counts, fractions, split)
        if distance < least:
            best, least = split, distance
    if np.isinf(least) and not level:
        return assign_units(counts, fractions, rng, level=True)
    return best


def _joined(counts: np.ndarray, least: float) -> np.ndarray:
    """Add up neighbouring ranks until each column has so many images, the rest of them in the last [U, columns]."""
    bands, band, held = [], 0, 0
    for number in counts.sum(axis=0).tolist():
        bands.append(band)
        held += number
        if held >= least:
            band, held = band + 1, 0
    of = np.minimum(bands, max(band - 1, 0))
    joined: np.ndarray = counts @ np.eye(of.max() + 1, dtype=counts.dtype)[of]
    return joined


def _deal(rank: np.ndarray, fractions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    split = np.empty(len(rank), dtype=np.int64)
    placed = np.zeros(len(fractions))
    seen = 0
    for value in np.unique(rank):
        units = rng.permutation(np.flatnonzero(rank == value))
        exact = len(units) * fractions
        quota = np.floor(exact).astype(np.int64)
        seen += len(units)
        # What rounding leaves goes where the splits as a whole fall shortest of their share.
        while quota.sum() < len(units):
            short = seen * fractions - placed - quota
            short[quota > exact] = -np.inf  # at most one above the exact share
            quota[short.argmax()] += 1
        placed += quota
        split[units] = np.repeat(np.arange(len(fractions)), quota)
    return split


def _place(counts: np.ndarray, fractions: np.ndarray, order: np.ndarray, level: bool) -> np.ndarray:
    weight = 1 / np.maximum(counts.sum(axis=0), 1)  # [R] a rare rank counts as much as a frequent one
    lacking = np.outer(fractions, counts.sum(axis=0)).astype(float)  # [S, R] still to come
    split = np.empty(len(counts), dtype=np.int64)
    for unit in order:
        # (lacking - n)² - lacking² = n (n - 2 lacking): the change of the squared distance, for each split;
        # dividing by the share compares splits of unlike size.
        change = ((counts[unit] * (counts[unit] - 2 * lacking)) @ weight) / fractions
        chosen = change.argmin()
        if level:
            alike = np.flatnonzero(change <= change[chosen] + 1e-9)
            chosen = alike[(lacking[alike].sum(axis=1) / fractions[alike]).argmax()]
        split[unit] = chosen
        lacking[chosen] -= counts[unit]
    return split


def _distance(counts: np.ndarray, fractions: np.ndarray, split: np.ndarray) -> float:
    total = counts.sum(axis=0)
    distance = 0.0
    for index, fraction in enumerate(fractions):
        missing = counts[split == index].sum(axis=0) - fraction * total
        distance += float((missing**2 / np.maximum(total, 1)).sum() / fraction)
        if not (split == index).any():
            return np.inf
    return distance
