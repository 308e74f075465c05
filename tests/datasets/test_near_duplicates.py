import io
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from ordinalclip.datasets.leakage import near_duplicates, perceptual_hash
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.system.interruption import Stopped, signals_stop
from tests.datasets.made import make_manifest


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
