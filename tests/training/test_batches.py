from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ordinalclip.images.cache import ImageSource
from ordinalclip.images.preprocessing import Geometry, Preprocessing
from ordinalclip.training.batches import (
    Batch,
    EpochSampler,
    FeatureRows,
    ImageRows,
    ViewRows,
    evaluation_loader,
    training_loader,
)

NUM_IMAGES = 10


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    generator = np.random.default_rng(0)
    paths = [tmp_path / f"{index}.png" for index in range(NUM_IMAGES)]
    for path in paths:
        Image.fromarray(generator.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
    return paths


def images(paths: list[Path], augment_seed: int | None) -> ImageRows:
    rows = np.arange(1, NUM_IMAGES)  # row 0 is of another split
    preprocessing = Preprocessing(16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear", "squash")
    geometry = Geometry(preprocessing, augmented=augment_seed is not None)
    return ImageRows(ImageSource(paths, geometry), rows, rows % 3, augment_seed)


def epochs(dataset: FeatureRows | ImageRows, num_workers: int, *, num_epochs: int = 2, first: int = 0) -> list[Batch]:
    sampler = EpochSampler(len(dataset), batch_size=4, seed=5)
    sampler.epoch = first
    loader = training_loader(dataset, sampler, num_workers)
    return [batch for _ in range(num_epochs) for batch in loader]


def by_row(batches: list[Batch]) -> dict[int, torch.Tensor]:
    assert all(batch.images is not None for batch in batches)
    return {int(row): image for batch in batches for row, image in zip(batch.row, batch.images, strict=True)}  # type: ignore[arg-type]


def test_every_item_comes_once_an_epoch_in_an_order_of_its_own() -> None:
    sampler = EpochSampler(size=11, batch_size=4, seed=0)
    assert len(sampler) == 3
    orders = []
    for epoch in range(3):
        batches = list(sampler)
        assert [len(batch) for batch in batches] == [4, 4, 3]
        assert {number for batch in batches for number, _ in batch} == {epoch}
        orders.append([position for batch in batches for _, position in batch])
        assert sorted(orders[-1]) == list(range(11))
    assert orders[0] != orders[1] != orders[2]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    first, resumed, other = (EpochSampler(size=11, batch_size=4, seed=seed) for seed in (0, 0, 1))
    list(first)
    next(iter(resumed))  # an epoch that was begun, and thrown away
    torch.manual_seed(3)
    np.random.default_rng(4)
    resumed.epoch = 1
    second = list(first)
    assert list(resumed) == second
    list(other)
    assert list(other) != second


def test_batches_carry_the_manifests_rows() -> None:
    features = np.arange(20, dtype=np.float32).reshape(10, 2)
    rows = np.array([2, 5, 7])
    dataset = FeatureRows(features, rows, np.array([0, 1, 2]))
    (batch,) = evaluation_loader(dataset, 256, num_workers=2)
    assert batch.row.tolist() == [2, 5, 7]
    assert batch.rank.tolist() == [0, 1, 2]
    assert batch.rank.dtype == torch.long
    assert batch.images is None
    assert torch.equal(batch.features, torch.from_numpy(features[rows]))


def test_evaluation_takes_every_row_once_in_order(paths: list[Path]) -> None:
    batches = list(evaluation_loader(images(paths, None), 4, num_workers=0))
    assert [row for batch in batches for row in batch.row.tolist()] == list(range(1, NUM_IMAGES))
    assert [rank for batch in batches for rank in batch.rank.tolist()] == [row % 3 for row in range(1, NUM_IMAGES)]


def test_workers_change_neither_order_nor_augmentation(paths: list[Path]) -> None:
    alone, shared = (epochs(images(paths, augment_seed=1), num_workers) for num_workers in (0, 2))
    assert len(alone) == len(shared) == 2 * 3
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one.row, other.row)
        assert torch.equal(one.rank, other.rank)
        assert torch.equal(one.images, other.images)  # type: ignore[arg-type]


def test_augmentation_depends_on_seed_epoch_and_row_alone(paths: list[Path]) -> None:
    whole = epochs(images(paths, augment_seed=1), 0)
    first, second = by_row(whole[:3]), by_row(whole[3:])
    assert not all(torch.equal(first[row], second[row]) for row in first)
    resumed = by_row(epochs(images(paths, augment_seed=1), 0, num_epochs=1, first=1))
    assert all(torch.equal(second[row], resumed[row]) for row in second)
    other = by_row(epochs(images(paths, augment_seed=2), 0, num_epochs=1))
    assert not all(torch.equal(first[row], other[row]) for row in first)
    plain = [by_row(epochs(images(paths, augment_seed=None), 0, num_epochs=1, first=epoch)) for epoch in (0, 1)]
    assert all(torch.equal(plain[0][row], plain[1][row]) for row in plain[0])


def test_loading_draws_nothing_from_the_global_generator(paths: list[Path]) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    epochs(images(paths, augment_seed=1), 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_each_epoch_takes_one_view_of_a_row_by_seed_epoch_and_row_alone() -> None:
    rows = np.array([1, 4, 9, 17, 30])
    views = np.arange(3 * 5, dtype=np.float32).reshape(3, 5, 1)
    dataset = ViewRows(list(views), rows, rows % 3, seed=2)

    def taken(dataset: ViewRows, num_epochs: int, first: int = 0) -> list[dict[int, int]]:
        sampler = EpochSampler(len(dataset), batch_size=2, seed=0)
        sampler.epoch = first
        loader = training_loader(dataset, sampler, num_workers=0)
        every = [[batch for batch in loader] for _ in range(num_epochs)]
        place = {int(row): index for index, row in enumerate(dataset.rows)}
        picked = []
        for batches in every:
            numbers: dict[int, int] = {}
            for batch in batches:
                assert batch.features is not None
                assert batch.rank.tolist() == [row % 3 for row in batch.row.tolist()]
                for row, value in zip(batch.row.tolist(), batch.features[:, 0].tolist(), strict=True):
                    numbers[row], own = divmod(int(value), len(dataset))
                    assert own == place[row]
            picked.append(numbers)
        return picked

    epochs = taken(dataset, 60)
    assert all(set(numbers) == set(rows.tolist()) for numbers in epochs)
    for row in rows.tolist():
        assert {numbers[row] for numbers in epochs} == {0, 1, 2}
    assert taken(ViewRows(list(views), rows, rows % 3, seed=2), 3, first=40) == epochs[40:43]
    assert taken(ViewRows(list(views), rows, rows % 3, seed=3), 60) != epochs
    fewer = ViewRows(list(views[:, [0, 3]]), rows[[0, 3]], rows[[0, 3]] % 3, seed=2)
    assert [fewer.drawn(5)[index] for index in range(2)] == [dataset.drawn(5)[index] for index in (0, 3)]
