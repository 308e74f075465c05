import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import DataError
from ordinalclip.images import cache as image_cache
from ordinalclip.images import preprocessing as image_preprocessing
from ordinalclip.images.cache import ImageSource, load_images, read_shard
from ordinalclip.images.decoding import open_rgb
from ordinalclip.images.preprocessing import Geometry, Preprocessing, reference_preprocessing
from ordinalclip.system.interruption import Stopped, signals_stop
from ordinalclip.training.batches import EpochSampler, ImageRows, evaluation_loader, training_loader
from tests.made_images import SIZES, augmented, manifest_of, select, write_images

NUM_IMAGES = 30
ALL = np.arange(NUM_IMAGES)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_cache, "CHUNK", 4)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return write_images(tmp_path / "files", NUM_IMAGES)


def preprocessing(resize: str = "squash", size: int = 14) -> Preprocessing:
    return Preprocessing(size, (0.48, 0.46, 0.41), (0.27, 0.26, 0.28), "bicubic", resize)  # type: ignore[arg-type]


def geometry(resize: str = "squash", *, augmented: bool = True) -> Geometry:
    return Geometry(preprocessing(resize), augmented)


def shards(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cache.rglob("*") if path.suffix in (".bin", ".npy")}


def only_from_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on opening an image's file is a failure."""

    def refuse(path: Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(image_preprocessing, "open_rgb", refuse)


def batches(dataset: ImageRows, seed: int, num_workers: int = 0) -> dict[tuple[int, int], Tensor]:
    """(epoch, row) → image, of two shuffled epochs."""
    loader = training_loader(dataset, EpochSampler(len(dataset), batch_size=7, seed=seed), num_workers)
    return {
        (epoch, int(row)): image
        for epoch in range(2)
        for batch in loader
        for row, image in zip(batch.row, batch.images, strict=True)  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_cached_batches_are_what_augmenting_each_file_gives(
    resize: str, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = load_images(manifest, ALL, geometry(resize), cache_dir=tmp_path / "cache")
    files = manifest.files()
    pictures = [open_rgb(path) for path in files]
    only_from_cache(monkeypatch)
    seen = batches(ImageRows(source, ALL, ALL, augment_seed=3), seed=1)
    assert len(seen) == 2 * NUM_IMAGES
    for (epoch, row), image in seen.items():
        # As it was drawn before there was a cache.
        words = np.random.SeedSequence([3, epoch, row]).generate_state(2)
        generator = torch.Generator().manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)
        assert torch.equal(image, augmented(preprocessing(resize), pictures[row], generator)), (epoch, files[row])


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_cached_evaluation_is_what_each_file_gives(
    resize: str, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.array([20, 3, 7, 29])
    source = load_images(manifest, rows, geometry(resize, augmented=False), cache_dir=tmp_path / "cache")
    expected = torch.stack([preprocessing(resize).to_tensor(open_rgb(manifest.files()[row])) for row in rows])
    only_from_cache(monkeypatch)
    (batch,) = evaluation_loader(ImageRows(source, rows, rows, None), 32, num_workers=2)
    assert batch.images is not None
    assert torch.equal(batch.images, expected)
    assert batch.images.is_contiguous()


def test_the_cache_changes_no_batch_nor_do_workers(manifest: Manifest, tmp_path: Path) -> None:
    cached = ImageRows(load_images(manifest, ALL, geometry(), cache_dir=tmp_path / "cache"), ALL, ALL, 3)
    decoded = ImageRows(ImageSource(manifest.files(), geometry()), ALL, ALL, 3)
    assert cached.stored
    assert not decoded.stored
    one, other = batches(cached, seed=5), batches(decoded, seed=5, num_workers=2)
    assert list(one) == list(other)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not all(torch.equal(image, one[1, row]) for (epoch, row), image in one.items() if epoch == 0)


def test_pixels_that_are_not_for_cropping_take_no_seed(manifest: Manifest) -> None:
    with pytest.raises(ValueError, match="augment_seed=1"):
        ImageRows(ImageSource(manifest.files(), geometry(augmented=False)), ALL, ALL, 1)


def test_the_memory_map_is_read_only(manifest: Manifest, tmp_path: Path) -> None:
    image = load_images(manifest, ALL, geometry(), cache_dir=tmp_path)[0]
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0, 0] = 1


def test_parts_and_copies_and_larger_sets_share_what_is_there(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    load_images(select(manifest, [9, 2, 5]), np.arange(3), geometry(), cache_dir=cache)
    first = shards(cache)
    source = load_images(manifest, ALL, geometry(), cache_dir=cache)
    assert first.items() <= shards(cache).items()
    indices = [read_shard(path) for path in cache.rglob("*.npy")]
    stored = [sha for shard in indices if shard is not None for sha in shard.index["sha256"].tolist()]
    assert sorted(sha.decode() for sha in stored) == sorted(manifest.hashes())  # each once
    only_from_cache(monkeypatch)
    part = select(manifest, [4, 4, 28, 0])
    again = load_images(part, np.arange(4), geometry(), cache_dir=cache)
    for position, row in enumerate([4, 4, 28, 0]):
        np.testing.assert_array_equal(again[position], source[row])


def test_other_geometries_share_nothing() -> None:
    whole = {geometry(resize, augmented=augmented).key for resize in ("squash", "crop") for augmented in (True, False)}
    assert len(whole) == 4
    assert Geometry(preprocessing(size=16), True).key not in whole
    statistics = Preprocessing(14, (0.5,) * 3, (0.5,) * 3, "bicubic", "squash")
    assert Geometry(statistics, True).key in whole  # they are applied to what is stored
    assert Geometry(Preprocessing(14, (0.5,) * 3, (0.5,) * 3, "bilinear", "squash"), True).key not in whole


@pytest.mark.parametrize("resize", ["squash", "crop"])
@pytest.mark.parametrize("augmented", [True, False])
def test_sizes_are_known_before_anything_is_decoded(
    resize: str, augmented: bool, manifest: Manifest, tmp_path: Path
) -> None:
    form = geometry(resize, augmented=augmented)
    told = form.num_bytes(manifest.files())
    load_images(manifest, ALL, form, cache_dir=tmp_path / "cache")
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.bin")) == told
    if resize == "crop" and augmented:
        assert told > 3 * 16 * 16 * len(SIZES)


def test_over_the_limit_nothing_is_stored_and_a_warning_says_what_to_do(
    manifest: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    needed = 3 * 16 * 16 * NUM_IMAGES
    source = load_images(manifest, ALL, geometry(), cache_dir=tmp_path / "cache", limit_gb=(needed - 1) / 1e9)
    assert not source.stored.any()
    assert not (tmp_path / "cache").exists()
    assert source[0].shape == (3, 16, 16)
    (message,) = caplog.messages
    for word in ("noise", "every epoch", "2.3e-05 GB more", "cache.limit_gb=2.3", "hold 0 GB); raise it"):
        assert word in message
    assert load_images(manifest, ALL, geometry(), cache_dir=tmp_path / "cache", limit_gb=needed / 1e9).stored.all()


def test_a_broken_image_is_named_and_what_was_decoded_stays(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = np.argsort(manifest.hashes())
    broken = manifest.files()[order[-1]]
    good = broken.read_bytes()
    broken.write_bytes(good[:60])
    monkeypatch.setattr(os, "getpid", lambda: 0)  # begins with the first chunk
    with pytest.raises(DataError, match=broken.name):
        load_images(manifest, ALL, geometry(), cache_dir=tmp_path / "cache")
    before = shards(tmp_path / "cache")
    assert len(before) == 2 * (NUM_IMAGES // 4)
    broken.write_bytes(good)
    assert load_images(manifest, ALL, geometry(), cache_dir=tmp_path / "cache").stored.all()
    assert before.items() < shards(tmp_path / "cache").items()


def test_a_signal_stops_decoding_and_what_was_decoded_stays(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard, written = image_cache.write_shard, []

    def write(path: Path, *more: Any) -> None:
        write_shard(path, *more)
        written.append(path)
        os.kill(os.getpid(), signal.SIGUSR2)

    monkeypatch.setattr(image_cache, "write_shard", write)
    with pytest.raises(Stopped), signals_stop():
        load_images(manifest, ALL, geometry(), cache_dir=tmp_path / "cache")
    assert len(written) == 1
    assert len(shards(tmp_path / "cache")) == 2


@pytest.mark.parametrize("suffix", [".bin", ".npy"])
def test_a_truncated_shard_is_built_again(suffix: str, manifest: Manifest, tmp_path: Path) -> None:
    load_images(manifest, ALL, geometry(), cache_dir=tmp_path / "cache")
    whole = shards(tmp_path / "cache")
    victim = sorted(path for path in (tmp_path / "cache").rglob("*") if path.suffix == suffix)[2]
    victim.write_bytes(victim.read_bytes()[:-1])
    assert load_images(manifest, ALL, geometry(), cache_dir=tmp_path / "cache").stored.all()
    assert shards(tmp_path / "cache") == whole


def test_a_changed_byte_is_noticed_and_mended(
    manifest: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = [image.copy() for image in map(load_images(manifest, ALL, geometry(), cache_dir=tmp_path).__getitem__, ALL)]
    before = shards(tmp_path)
    victim = sorted(tmp_path.rglob("*.bin"))[1]
    data = bytearray(victim.read_bytes())
    data[1000] ^= 1
    victim.write_bytes(data)
    source = load_images(manifest, ALL, geometry(), cache_dir=tmp_path)
    for row in ALL:
        np.testing.assert_array_equal(source[row], whole[row])
    assert len([message for message in caplog.messages if "damaged" in message]) == 1
    caplog.clear()
    source = load_images(manifest, ALL, geometry(), cache_dir=tmp_path)
    assert source.stored.all()
    assert shards(tmp_path) == before
    for row in ALL:
        np.testing.assert_array_equal(source[row], whole[row])
    assert not [message for message in caplog.messages if "damaged" in message]


def test_a_cache_that_is_swept_away_costs_time_only(manifest: Manifest, tmp_path: Path) -> None:
    source = load_images(manifest, ALL, geometry(), cache_dir=tmp_path / "cache")
    expected = [geometry().pixels(path) for path in manifest.files()]
    for path in (tmp_path / "cache").rglob("*.*"):
        path.unlink()
    for row in ALL:
        np.testing.assert_array_equal(source[row], expected[row])


def test_what_a_killed_process_was_writing_is_removed_once_it_is_old(manifest: Manifest, tmp_path: Path) -> None:
    load_images(select(manifest, [1]), np.arange(1), geometry(), cache_dir=tmp_path / "cache")
    (store,) = (tmp_path / "cache").glob("images/*/*")
    old, new = store / ".a.bin.0.part", store / ".b.bin.1.part"
    for part in (old, new):
        part.write_bytes(b"")
    os.utime(old, (0, 0))
    next(store.glob("*.npy")).unlink()
    load_images(select(manifest, [1]), np.arange(1), geometry(), cache_dir=tmp_path / "cache")
    assert not old.exists()
    assert new.exists()


_BUILD = """
import os, signal, sys
from pathlib import Path
import numpy as np
from ordinalclip.images import cache as image_cache
from ordinalclip.images.preprocessing import Geometry
from ordinalclip.images.preprocessing import Preprocessing
from tests.made_images import manifest_of
root, cache, kill_after = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
image_cache.CHUNK = 4
write_shard = image_cache.write_shard
written = []
def write(*arguments):
    if len(written) == kill_after:
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(1)
    write_shard(*arguments)
image_cache.write_shard = write
manifest = manifest_of(root, sorted(path.name for path in root.iterdir()))
geometry = Geometry(Preprocessing(14, (0.48, 0.46, 0.41), (0.27, 0.26, 0.28), "bicubic", "squash"), True)
source = image_cache.load_images(manifest, np.arange(len(manifest.table)), geometry, cache_dir=cache)
assert source.stored.all()
print(len(written))
"""


def build(root: Path, cache: Path, kill_after: int = -1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _BUILD, str(root), str(cache), str(kill_after)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_killed_build_goes_on_and_two_at_once_give_the_same(manifest: Manifest, tmp_path: Path) -> None:
    names = sorted(path.name for path in manifest.root.iterdir())
    whole = tmp_path / "whole"
    load_images(manifest_of(manifest.root, names), ALL, geometry(), cache_dir=whole)
    number = len(shards(whole)) // 2

    cache = tmp_path / "killed"
    with build(manifest.root, cache, kill_after=3) as process:
        process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL
    assert len(shards(cache)) == 6
    both = [build(manifest.root, cache) for _ in range(2)]
    outputs = [process.communicate(timeout=600) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    written = sum(int(out) for out, _ in outputs)
    assert number - 3 <= written <= 2 * (number - 3)  # none of the first three again
    assert shards(cache) == shards(whole)


def test_what_was_built_is_told(manifest: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    load_images(manifest, ALL, geometry("crop"), cache_dir=tmp_path)
    (message,) = caplog.messages
    assert f"stored {NUM_IMAGES} decoded images of noise (16 px, crop, bicubic" in message
    assert "images/s" in message


def test_a_centre_with_a_margin_is_stored_without_it(tmp_path: Path) -> None:
    way = reference_preprocessing(14)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    centre, whole = Geometry(way, False), Geometry(way, True)
    assert centre.size == whole.size == 16
    assert centre.key != whole.key
    pixels = centre.pixels(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels, whole.pixels(tmp_path / "a.png")[:, 1:15, 1:15])
    assert centre.num_bytes([tmp_path / "a.png"]) == pixels.size
