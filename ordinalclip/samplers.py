"""The order of the images: shuffled by seed and epoch for fitting, as they stand for evaluation."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """Shuffled batches of (epoch, position) that depend on the seed and the epoch alone.

    It counts its epochs itself: Lightning builds the first iterator of a resumed fit before any hook that could tell it
    the epoch, and a dataset in a worker process hears of no epoch at all, hence the epoch travels with each position.

    Args:
        size: number of items.
        batch_size: items a batch; the last may be smaller.
        seed: of the order.
    """

    def __init__(self, size: int, batch_size: int, seed: int) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        order = np.random.default_rng([self.seed, epoch]).permutation(self.size)
        for start in range(0, self.size, self.batch_size):
            yield [(epoch, int(position)) for position in order[start : start + self.batch_size]]


class InOrder(Sampler[list[tuple[int, int]]]):
    """All positions once, in order, in batches."""

    def __init__(self, size: int, batch_size: int) -> None:
        self.size, self.batch_size = size, batch_size

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for start in range(0, self.size, self.batch_size):
            yield [(0, position) for position in range(start, min(start + self.batch_size, self.size))]
