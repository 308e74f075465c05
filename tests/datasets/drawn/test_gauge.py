import hashlib
import time

import numpy as np
import pytest

from ordinalclip.datasets.drawn import gauge
from ordinalclip.datasets.drawn.gauge import _homography, contact_sheet, load_gauge, render_gauge
from ordinalclip.datasets.drawn.gauge_drawing import sample_scene
from ordinalclip.images.decoding import open_rgb


def load(tmp_path, **options):
    options = {"num_ranks": 5, "images_per_rank": 2, "size": 32} | options
    return load_gauge(**options, data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


def test_manifest(tmp_path):
    manifest = load(tmp_path)
    assert manifest.rank_names == ("0", "1", "2", "3", "4")
    assert manifest.unit == "reading"
    assert manifest.table["rank"].tolist() == [0, 1, 2, 3, 4] * 2
    assert manifest.table["sha256"].nunique() == 10
    assert all(open_rgb(file).size == (32, 32) for file in manifest.files())
    assert not list(manifest.root.glob(".*"))


def test_fewer_images_are_the_first_of_more(tmp_path):
    few, many = load(tmp_path), load(tmp_path / "elsewhere", images_per_rank=4)
    assert many.table["sha256"].tolist()[:10] == few.table["sha256"].tolist()
    grown = load(tmp_path, images_per_rank=4)
    assert grown.content_hash == many.content_hash
    assert load(tmp_path).content_hash == few.content_hash


def test_only_what_is_missing_is_drawn(tmp_path, monkeypatch):
    manifest = load(tmp_path)
    (manifest.root / "000003.png").unlink()
    drawn = []
    monkeypatch.setattr(gauge, "render_gauge", lambda *key: drawn.append(key) or render_gauge(*key))
    assert load(tmp_path).content_hash == manifest.content_hash
    assert [key[1] for key in drawn] == [3]


def test_seed_and_size_make_other_pictures(tmp_path):
    hashes = [load(tmp_path, **options).content_hash for options in ({}, {"seed": 1}, {"size": 48}, {"num_ranks": 6})]
    assert len(set(hashes)) == 4


def test_a_picture_depends_on_its_own_key_only():
    first = render_gauge(0, 7, 101, 64).tobytes()
    render_gauge(0, 8, 101, 64)
    assert hashlib.sha256(render_gauge(0, 7, 101, 64).tobytes()).digest() == hashlib.sha256(first).digest()


@pytest.mark.parametrize("num_ranks", [2, 3, 7, 10, 50, 98, 101])
@pytest.mark.parametrize("size", [16, 33])
def test_any_number_of_ranks_and_size_can_be_drawn(num_ranks, size):
    for index in (0, num_ranks - 1, num_ranks + 1):
        assert render_gauge(3, index, num_ranks, size).size == (size, size)


def test_pictures_are_varied_and_neither_black_nor_white():
    pictures = [np.asarray(render_gauge(0, 50 + 101 * index, 101, 48), dtype=float) for index in range(40)]
    means, spreads = [picture.mean() for picture in pictures], [picture.std() for picture in pictures]
    assert min(spreads) > 8
    assert max(means) < 250
    assert np.std(means) > 15


def test_the_needle_goes_from_one_end_of_the_scale_to_the_other():
    for seed in range(50):
        scenes = [sample_scene(np.random.default_rng(seed), rank, 11) for rank in range(11)]
        angles = np.array([scene.angle for scene in scenes])
        np.testing.assert_allclose(np.diff(angles), scenes[0].sweep / 10)
        assert abs(scenes[0].sweep) < 310
        # Only numbers can tell that a scale runs backwards.
        assert scenes[0].sweep > 0 or scenes[0].label_size > 0


def test_the_needle_is_all_that_tells_readings_apart():
    """With everything else equal, two readings differ in a small part of the scene's choices: the rank."""
    one, other = (sample_scene(np.random.default_rng(5), rank, 101) for rank in (10, 90))
    assert [key for key in vars(one) if getattr(one, key) != getattr(other, key)] == ["rank"]


def test_homography_takes_corners_to_corners():
    source = [(0.0, 0.0), (9.0, 1.0), (8.0, 7.0), (-1.0, 6.0)]
    target = [(0.0, 0.0), (5.0, 0.0), (5.0, 5.0), (0.0, 5.0)]
    a, b, c, d, e, f, g, h = _homography(source, target)
    for (x, y), expected in zip(source, target, strict=True):
        w = g * x + h * y + 1
        np.testing.assert_allclose(((a * x + b * y + c) / w, (d * x + e * y + f) / w), expected, atol=1e-9)


def test_contact_sheet():
    assert contact_sheet(1, 2, size=24).size == (57, 30)


@pytest.mark.slow
def test_drawing_is_fast():
    render_gauge(0, 0, 101, 128)
    started = time.process_time()
    for index in range(50):
        render_gauge(0, index, 101, 128)
    assert (time.process_time() - started) / 50 < 0.03  # 0.005 on an idle machine
