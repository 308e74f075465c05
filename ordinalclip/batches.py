"""What the model is fed: batches of cached features or of decoded images, in an order that can be resumed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ordinalclip.datasets.images import open_rgb
from ordinalclip.preprocessing import Preprocessing


@dataclass
class Batch:
    """One batch; exactly one of `features` and `images` is set.

    Attributes:
        rank: [B] long.
        row: [B] long, row of the manifest.
        features: [B, F] of the frozen image tower.
        images: [B, 3, H, W] pixels, normalised for the image tower.
    """

    rank: Tensor
    row: Tensor
    features: Tensor | None = None
    images: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        move = lambda tensor: None if tensor is None else tensor.to(device, non_blocking=True)  # noqa: E731
        return Batch(self.rank.to(device), self.row.to(device), move(self.features), move(self.images))


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


class FeatureRows(Dataset[Batch]):
    """Cached features of some rows of the manifest.

    Args:
        features: [N, F] of all rows of the manifest, memory-mapped perhaps.
        rows: the rows of this split.
        rank: their ranks.
    """

    def __init__(self, features: np.ndarray, rows: np.ndarray, rank: np.ndarray) -> None:
        self.features = torch.from_numpy(np.ascontiguousarray(features[rows], dtype=np.float32))
        self.rows, self.rank = torch.from_numpy(rows.copy()), torch.from_numpy(rank.copy())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Batch:
        index = torch.tensor([position for _, position in keys])
        return Batch(self.rank[index], self.rows[index], features=self.features[index])


class ImageRows(Dataset[Batch]):
    """Images of some rows of the manifest, decoded as they are asked for.

    Args:
        paths: image file of every row of the manifest.
        preprocessing: the image tower's.
        rows: the rows of this split.
        rank: their ranks.
        augment_seed: None = never augmented; else randomness is drawn from (seed, epoch, row), so that neither workers
            nor a resume change it.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        preprocessing: Preprocessing,
        rows: np.ndarray,
        rank: np.ndarray,
        augment_seed: int | None,
    ) -> None:
        self.paths, self.preprocessing, self.augment_seed = paths, preprocessing, augment_seed
        self.rows, self.rank = torch.from_numpy(rows.copy()), torch.from_numpy(rank.copy())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Batch:
        index = torch.tensor([position for _, position in keys])
        images = torch.stack([self._image(epoch, int(self.rows[position])) for epoch, position in keys])
        return Batch(self.rank[index], self.rows[index], images=images)

    def _image(self, epoch: int, row: int) -> Tensor:
        image = open_rgb(self.paths[row])
        if self.augment_seed is None:
            return self.preprocessing.to_tensor(image)
        words = np.random.SeedSequence([self.augment_seed, epoch, row]).generate_state(2)
        generator = torch.Generator().manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)
        return self.preprocessing.augment(image, generator)


class _InOrder(Sampler[list[tuple[int, int]]]):
    """All positions once, in order, in batches."""

    def __init__(self, size: int, batch_size: int) -> None:
        self.size, self.batch_size = size, batch_size

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for start in range(0, self.size, self.batch_size):
            yield [(0, position) for position in range(start, min(start + self.batch_size, self.size))]


def training_loader(dataset: Dataset[Batch], sampler: EpochSampler, num_workers: int) -> DataLoader[Batch]:
    """Shuffled batches for fitting."""
    return _loader(dataset, sampler, num_workers)


def evaluation_loader(dataset: FeatureRows | ImageRows, batch_size: int, num_workers: int) -> DataLoader[Batch]:
    """Every item once, in order."""
    return _loader(dataset, _InOrder(len(dataset), batch_size), num_workers)


def _loader(dataset: Dataset[Batch], sampler: Sampler[list[tuple[int, int]]], num_workers: int) -> DataLoader[Batch]:
    # Fetching by whole batches lets a dataset index its tensors at once; what it returns needs no collating. The
    # generator is the loader's own, so that building an iterator draws nothing from torch's global randomness.
    workers = 0 if isinstance(dataset, FeatureRows) else num_workers
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=_as_it_is,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=torch.Generator(),
    )


def _as_it_is(batch: Any) -> Any:
    return batch
