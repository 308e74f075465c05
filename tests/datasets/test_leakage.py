import io
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from ordinalclip.datasets.leakage import (
    leakage_metrics,
    leakage_notes,
    measure_leakage,
    near_duplicates,
    perceptual_hash,
)
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.system.interruption import Stopped, signals_stop
from tests.datasets.made import make_manifest


def test_counts_and_rates_by_hand() -> None:
    split = ["train", "train", "val", "val", "test", "test", "test", None]
    subjects = ["a", "b", "a", "c", "a", "d", None, "d"]
    manifest = make_manifest([0, 1] * 4, split=split, subject=subjects)
    manifest.table.loc[6, "sha256"] = manifest.table.loc[1, "sha256"]
    manifest.table.loc[7, "sha256"] = manifest.table.loc[0, "sha256"]  # in no split, so it does not leak
    report = measure_leakage(manifest)
    assert report["subjects"] == {
        "known": 6,
        "units": 4,
        "shared": 1,
        "pairs": {"train-val": 1, "train-test": 1, "val-test": 0 + 1},
        "test_images": 1,
        "test_rate": 1 / 2,
        "examples": ["a"],
    }
    assert report["groups"]["known"] == report["groups"]["shared"] == 0
    assert report["groups"]["test_rate"] is None
    assert report["duplicates"]["pairs"] == {"train-val": 0, "train-test": 1, "val-test": 0}
    assert report["duplicates"]["test_rate"] == 1 / 3
    assert report["duplicates"]["examples"] == ["1.png", "6.png"]
    assert leakage_metrics(report) == {
        "leakage/subjects": 1.0,
        "leakage/subjects_test_rate": 0.5,
        "leakage/duplicates": 1.0,
        "leakage/duplicates_test_rate": 1 / 3,
    }
    subjects_note, duplicates_note = leakage_notes(report)
    assert "1 subjects stand in more than one split (50.0% of the test images)" in subjects_note
    assert "equal to the byte" in duplicates_note


def test_what_is_only_in_train_and_val_is_told_without_a_rate() -> None:
    manifest = make_manifest([0, 1, 0], split=["train", "val", "test"], group=["x", "x", "y"])
    report = measure_leakage(manifest)
    assert report["groups"]["shared"] == 1
    assert report["groups"]["test_images"] == 0
    (note,) = leakage_notes(report)
    assert "%" not in note


def photo(seed: int) -> Image.Image:
    """Soft blobs, like a blurred photo."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC)


def altered(image: Image.Image, how: int) -> Image.Image:
    if how == 0:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=40)
        return Image.open(stream)
    return image.resize((70, 70)) if how == 1 else image.point(lambda value: value * 0.8 + 20)


@pytest.fixture
def photos(tmp_path: Path) -> Manifest:
    """300 photos, 60 of which test; six of these are altered training photos, one is a copy to the byte."""
    images = [photo(seed) for seed in range(300)]
    for how in range(6):
        images[240 + how] = altered(images[how], how % 3)
    images[250] = images[9]
    images[260] = ImageOps.mirror(images[20])
    for index, image in enumerate(images):
        image.save(tmp_path / f"{index}.png")
    manifest = make_manifest([0, 1] * 150, split=["train"] * 200 + ["val"] * 40 + ["test"] * 60)
    manifest.table.loc[250, "sha256"] = manifest.table.loc[9, "sha256"]
    return replace(manifest, root=tmp_path)


@pytest.mark.slow
def test_altered_photos_are_found_and_no_others(photos: Manifest, tmp_path: Path) -> None:
    found = near_duplicates(photos, tmp_path / "cache")
    pairs = {(one, other) for one, other, _ in found["examples"]}
    # The mirrored photo is no duplicate, and is at distance 0 of its mirror image: the threshold stays below 0 for it.
    assert found["threshold"] is None
    assert pairs == set()
    table = photos.table.assign(split=photos.table["split"].where(photos.table.index != 260))
    found = near_duplicates(replace(photos, table=table), tmp_path / "cache")
    assert {(one, other) for one, other, _ in found["examples"]} == {(f"{240 + i}.png", f"{i}.png") for i in range(6)}
    assert found["shared"] == 6
    assert found["test_rate"] == 6 / 59
    for path in tmp_path.glob("*.png"):
        path.unlink()
    assert near_duplicates(replace(photos, table=table), tmp_path / "cache") == found  # remembered


@pytest.mark.slow
def test_a_signal_ends_the_search(photos: Manifest, tmp_path: Path) -> None:
    with pytest.raises(Stopped), signals_stop():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGUSR2)
        near_duplicates(photos, tmp_path / "cache")


def test_the_mirrored_hash_is_that_of_the_mirror_image() -> None:
    plain, mirrored = perceptual_hash(photo(3))
    assert perceptual_hash(ImageOps.mirror(photo(3))) == (mirrored, plain)
    assert plain != mirrored
