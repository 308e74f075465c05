import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ordinalclip.datasets.layouts import medmnist
from ordinalclip.datasets.layouts.medmnist import load_medmnist
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError, DataError
from ordinalclip.images.decoding import open_rgb
from tests.datasets.made_sets import make_medmnist

NAMES = ["absent", "mild", "moderate", "severe", "proliferative"]
SIZES = {"train": 11, "val": 5, "test": 6}


def load(file: Path, **options: Any) -> Manifest:
    folder = file.parent
    given = {"path": str(file), "rank_names": NAMES} | options
    return load_medmnist(data_dir=folder / "data", cache_dir=folder / "cache", **given)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("size", [28, 64])
def test_pixels_labels_and_splits(tmp_path: Path, grey: bool, size: int) -> None:
    file = tmp_path / "retinamnist.npz"
    make_medmnist(file, SIZES, size=size, grey=grey)
    made = load(file)
    assert made.table["split"].value_counts().to_dict() == SIZES
    assert made.table["rank"].tolist() == [*(index % 5 for index in range(11)), 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0]
    with np.load(file) as archive:
        images = np.concatenate([archive[f"{split}_images"] for split in SIZES])
    for path, pixels in zip(made.files(), images, strict=True):
        read = np.asarray(open_rgb(path))
        assert (read == (pixels[..., None] if grey else pixels)).all()
    assert made.root.is_relative_to(tmp_path / "data" / "medmnist")
    assert (made.name, made.rank_values) == ("retinamnist", (0, 1, 2, 3, 4))


def test_images_are_written_once_and_after_a_stop_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "retinamnist.npz"
    make_medmnist(file, SIZES)
    written: list[Path] = []
    write_one = medmnist._write_one

    def counted(path: Path, pixels: np.ndarray) -> None:
        if len(written) == 3:
            raise OSError("the disk is full")
        written.append(path)
        write_one(path, pixels)

    monkeypatch.setattr(medmnist, "_write_one", counted)
    with pytest.raises(OSError, match="full"):
        load(file)
    monkeypatch.setattr(medmnist, "_write_one", write_one)
    made = load(file)
    assert len(made.table) == 22
    monkeypatch.setattr(medmnist, "_write_one", None)
    assert load(file).content_hash == made.content_hash
    # Another archive under the same name has a folder of its own.
    monkeypatch.setattr(medmnist, "_write_one", write_one)
    make_medmnist(file, {"train": 9, "val": 5, "test": 6})
    assert len(load(file).table) == 20


def test_labels_in_another_order(tmp_path: Path) -> None:
    file = tmp_path / "other.npz"
    make_medmnist(file, {"train": 3, "val": 3, "test": 3}, num_ranks=3)
    made = load(file, rank_names=["low", "middle", "high"], order=[2, 0, 1], rank_values=[5, 6, 8])
    assert made.table["rank"].tolist() == [1, 2, 0] * 3
    assert made.table["value"].tolist() == [6, 8, 5] * 3
    for wrong in ({"order": [0, 1]}, {"order": [0, 1, 1]}, {"rank_values": [1, 2]}):
        with pytest.raises(ConfigError, match="one for each of the 3 rank names"):
            load(file, rank_names=["low", "middle", "high"], **wrong)
    with pytest.raises(ConfigError, match=r"other\.npz has labels 2, too"):
        load(file, rank_names=["low", "high"])
    with pytest.raises(ConfigError, match="what are the ranks called"):
        load(file, rank_names=None)


def test_the_published_sum_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "retinamnist.npz"
    make_medmnist(file, SIZES)
    digest = hashlib.md5(file.read_bytes()).hexdigest()
    assert len(load(file, md5={"retinamnist.npz": digest}).table) == 22
    assert len(load(file, md5={"retinamnist_64.npz": "0"}).table) == 22
    with pytest.raises(DataError, match=f"its MD5 is {digest}, that of the published file bd4c"):
        load(file, md5={"retinamnist.npz": "bd4c"})


def test_files_that_are_no_such_archives(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file") as caught:
        load(tmp_path / "none.npz", obtain="from Zenodo")
    assert (caught.value.key, caught.value.remedy) == ("dataset.path", "from Zenodo")
    with pytest.raises(ConfigError, match="which file"):
        load(tmp_path / "none.npz", path=None)
    whole = tmp_path / "whole.npz"
    make_medmnist(whole, SIZES)
    file = tmp_path / "bad.npz"
    for data in (b"", b"no archive", whole.read_bytes()[:3000]):
        file.write_bytes(data)
        with pytest.raises(DataError, match=r"bad\.npz: cannot be read"):
            load(file)
    with np.load(whole) as archive:
        arrays = dict(archive)
    for change, told in (
        ({"val_images": None}, "has no val_images"),
        ({"train_labels": np.zeros((11, 14), dtype=np.uint8)}, "train_labels are uint8 .11, 14., not one whole number"),
        ({"train_images": np.zeros((11, 28, 28, 28), dtype=np.uint8)}, "train_images are uint8"),
        ({"train_images": np.zeros((11, 28, 28, 3))}, "train_images are float64"),
        ({"test_images": np.array([{}], dtype=object)}, "cannot be read"),
    ):
        changed = {key: value for key, value in {**arrays, **change}.items() if value is not None}
        np.savez(file, **changed)
        with pytest.raises(DataError, match=told):
            load(file)
