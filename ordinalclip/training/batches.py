"""Batches of cached features or decoded images, in an order that can be resumed.

Training shuffles by seed and epoch; evaluation keeps the order of the manifest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ordinalclip.features.store import StoredFeatures
from ordinalclip.images.cache import ImageSource
from ordinalclip.images.preprocessing import crop_batch, crop_numbers, stack_batch
from ordinalclip.system.distributed import SINGLE_PROCESS, World


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """Shuffled batches of (epoch, position) that depend on the seed and the epoch alone.

    The sampler counts epochs itself, since Lightning builds the first iterator of a resumed fit before any hook that
    knows the epoch. Datasets in worker processes do not know the epoch either, so each position carries it.

    Args:
        size: number of items.
        batch_size: items per batch; the last batch may be smaller.
        seed: determines the order, with the epoch.
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


class SequentialBatches(Sampler[list[tuple[int, int]]]):
    """All positions once, in order, in batches."""

    def __init__(self, size: int, batch_size: int) -> None:
        self.size, self.batch_size = size, batch_size

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for start in range(0, self.size, self.batch_size):
            yield [(0, position) for position in range(start, min(start + self.batch_size, self.size))]


@dataclass
class Batch:
    """One batch; exactly one of `features` and `images` is set.

    Attributes:
        rank: [B] long.
        row: [B] long, row of the manifest.
        features: [B, F] of the frozen image tower.
        images: [B, 3, H, W] pixels, normalized for the image tower.
        idle: whether its single image is ignored; a process without images gets such a batch, since towers need one.
    """

    rank: Tensor
    row: Tensor
    features: Tensor | None = None
    images: Tensor | None = None
    idle: bool = False

    def to(self, device: torch.device) -> "Batch":
        """Returns the batch on `device`."""
        move = lambda tensor: None if tensor is None else tensor.to(device, non_blocking=True)  # noqa: E731
        return Batch(self.rank.to(device), self.row.to(device), move(self.features), move(self.images), self.idle)


class FeatureRows(Dataset[Batch]):
    """Cached features of some rows of the manifest; one batch at a time is read into memory.

    Args:
        features: [N, F] in float32 of all rows of the manifest.
        rows: the rows of this split.
        rank: their ranks.
    """

    def __init__(self, features: np.ndarray | StoredFeatures, rows: np.ndarray, rank: np.ndarray) -> None:
        self.features = features
        self.rows, self.rank = torch.from_numpy(rows.copy()), torch.from_numpy(rank.copy())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Batch:
        index = torch.tensor([position for _, position in keys])
        rows = self.rows[index]
        return Batch(self.rank[index], rows, features=torch.from_numpy(self.features[rows.numpy()]))


class ViewRows(Dataset[Batch]):
    """Cached features of several augmented views of each row; each epoch uses one view of a row, drawn at random.

    Args:
        views: [N, F] in float32 of these rows, for each of V views.
        rows: rows of the manifest [N].
        rank: their ranks.
        seed: the view is drawn from (seed, epoch, row), so that a resumed run draws the same.
    """

    def __init__(
        self, views: Sequence[np.ndarray | StoredFeatures], rows: np.ndarray, rank: np.ndarray, seed: int
    ) -> None:
        self.views, self.seed = views, seed
        self.rows, self.rank = torch.from_numpy(rows.copy()), torch.from_numpy(rank.copy())
        self._epoch, self._drawn = -1, torch.empty(0, dtype=torch.long)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Batch:
        index = torch.tensor([position for _, position in keys])
        drawn, place = self.drawn(keys[0][0])[index].numpy(), index.numpy()
        features = np.empty((len(keys), self.views[0].shape[1]), dtype=np.float32)
        for view in np.unique(drawn):
            features[drawn == view] = self.views[view][place[drawn == view]]
        return Batch(self.rank[index], self.rows[index], features=torch.from_numpy(features))

    def drawn(self, epoch: int) -> Tensor:
        """Index of the view of each row [N] in an epoch; it does not depend on the other rows."""
        if epoch != self._epoch:
            # A separate stream: the sampler draws the order from (seed, epoch).
            stream = np.random.default_rng(np.random.SeedSequence([self.seed, epoch], spawn_key=(1,)))
            every = stream.integers(len(self.views), size=int(self.rows.max()) + 1)
            self._epoch, self._drawn = epoch, torch.from_numpy(every)[self.rows]
        return self._drawn


class ImageRows(Dataset[Batch]):
    """Images of some rows of the manifest, from the cache of decoded images, or decoded when they are read.

    Args:
        source: pixels of every row of the manifest.
        rows: the rows of this split.
        rank: their ranks.
        augment_seed: seed of random crops; None: no augmentation. Crops are drawn from (seed, epoch, row), so that
            workers, resuming and the cache do not change them.

    Raises:
        ValueError: `augment_seed` does not agree with `source.geometry.augmented`.
    """

    def __init__(self, source: ImageSource, rows: np.ndarray, rank: np.ndarray, augment_seed: int | None) -> None:
        if source.geometry.augmented != (augment_seed is not None):
            raise ValueError(f"augment_seed={augment_seed} with geometry.augmented={source.geometry.augmented}")
        self.source, self.preprocessing, self.augment_seed = source, source.geometry.preprocessing, augment_seed
        self.rows, self.rank = torch.from_numpy(rows.copy()), torch.from_numpy(rank.copy())
        self.stored = bool(source.stored[rows].all())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Batch:
        index = torch.tensor([position for _, position in keys])
        rows = self.rows[index]
        images = [self.source[row] for row in rows.tolist()]
        if self.augment_seed is None:
            pixels = stack_batch(images)
        else:
            words = [(self.augment_seed, epoch, row) for (epoch, _), row in zip(keys, rows.tolist(), strict=True)]
            pixels = crop_batch(self.preprocessing, images, [crop_numbers(three) for three in words])
        return Batch(self.rank[index], rows, images=self.preprocessing.normalize_pixels(pixels))


class ProcessShare(Dataset[Batch]):
    """One process's share of each batch of a dataset; an idle batch if a process has no image of it.

    Args:
        dataset: of whole batches.
        world: whose member this process is.
    """

    def __init__(self, dataset: "FeatureRows | ViewRows | ImageRows", world: World) -> None:
        self.dataset, self.world = dataset, world

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Batch:
        own = self.world.share(keys)
        return self.dataset.__getitems__(own) if own else replace(self.dataset.__getitems__(keys[:1]), idle=True)


def training_loader(
    dataset: FeatureRows | ViewRows | ImageRows, sampler: EpochSampler, num_workers: int, world: World = SINGLE_PROCESS
) -> DataLoader[Batch]:
    """Shuffled batches for fitting, or a process's share of each."""
    return _loader(dataset, sampler, num_workers, world)


def evaluation_loader(
    dataset: FeatureRows | ViewRows | ImageRows, batch_size: int | None, num_workers: int, world: World = SINGLE_PROCESS
) -> DataLoader[Batch]:
    """Every item once, in order.

    Args:
        dataset: what to evaluate on.
        batch_size: None: 256 rows of features, or 32 images (larger batches are slower on a CPU).
        num_workers: processes that decode images.
        world: each of its processes gets its share of every batch.
    """
    if batch_size is None:
        batch_size = 32 if isinstance(dataset, ImageRows) else 256
    return _loader(dataset, SequentialBatches(len(dataset), batch_size), num_workers, world)


def _loader(
    dataset: FeatureRows | ViewRows | ImageRows, sampler: Sampler[list[tuple[int, int]]], num_workers: int, world: World
) -> DataLoader[Batch]:
    # Datasets fetch whole batches, so they index their tensors once and nothing is collated. A separate generator is
    # passed, since building an iterator would otherwise draw from torch's global generator. Workers only decode:
    # reading stored pixels or features is faster than sending them between processes.
    workers = num_workers if isinstance(dataset, ImageRows) and not dataset.stored else 0
    return DataLoader(
        dataset if world.size == 1 else ProcessShare(dataset, world),
        batch_sampler=sampler,
        collate_fn=_identity,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=torch.Generator(),
    )


def _identity(batch: Any) -> Any:
    return batch
