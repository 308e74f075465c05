import numpy as np
import pytest

from ordinalclip.datasets.leakage import measure_leakage
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.splits import LEAST, set_aside
from tests.datasets.made import make_manifest

SPLIT = ["train"] * 40 + ["val"] * 80 + ["test"] * 40


def made(**columns: list) -> Manifest:
    return make_manifest([index % 4 for index in range(160)], split=SPLIT, **columns)


def rows(manifest: Manifest, split: str) -> np.ndarray:
    return np.flatnonzero((manifest.table["split"] == split).to_numpy())


def test_half_of_val_is_set_aside_and_nothing_else_moves() -> None:
    before = made()
    after = set_aside(before, 0.5, seed=3)
    assert np.array_equal(rows(after, "train"), rows(before, "train"))
    assert np.array_equal(rows(after, "test"), rows(before, "test"))
    assert np.bincount(after.table["rank"].iloc[rows(after, "calibration")]).tolist() == [10] * 4
    assert sorted([*rows(after, "val"), *rows(after, "calibration")]) == list(range(40, 120))
    assert after.content_hash != before.content_hash
    assert set_aside(before, 0.5, seed=3).content_hash == after.content_hash != set_aside(before, 0.5).content_hash


def test_subjects_and_blocks_stay_whole() -> None:
    subject = [f"person {index // 5}" for index in range(160)]
    after = set_aside(made(subject=subject), 0.5)
    assert len(rows(after, "calibration")) == 40
    assert measure_leakage(after)["subjects"]["pairs"]["val-calibration"] == 0
    after = set_aside(made(), 0.5, block_size=8)
    assert len(set(rows(after, "calibration") // 8) & set(rows(after, "val") // 8)) == 0
    assert len(rows(after, "calibration")) == 40


def test_images_of_one_subject_on_both_sides_are_counted_as_leakage() -> None:
    subject = [f"person {index}" for index in range(160)]
    subject[rows(set_aside(made(), 0.5), "calibration")[0]] = subject[-1]  # a test image's
    found = measure_leakage(set_aside(made(subject=subject), 0.5))["subjects"]
    assert found["pairs"]["val-test"] + found["pairs"]["calibration-test"] == 1
    assert found["test_images"] == 1


@pytest.mark.parametrize("share", [0.5, 0.01])
def test_too_few_images_are_left_where_they_are(share: float) -> None:
    few = make_manifest([0, 1] * LEAST, split=["val"] * (2 * LEAST - 1) + ["test"])
    after = set_aside(few, share)
    assert len(rows(after, "calibration")) == 0
    assert f"{2 * LEAST - 1} val images are too few" in after.notes[-1]
    one = made(subject=["the only one"] * 160)
    assert "too few" in set_aside(one, share).notes[-1]


def test_what_is_there_stays() -> None:
    before = made()
    assert set_aside(before, 0) is before
    own = set_aside(before, 0.25)
    assert set_aside(own, 0.5) is own
