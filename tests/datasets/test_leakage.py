from ordinalclip.datasets.leakage import leakage_metrics, leakage_notes, measure_leakage
from tests.datasets.made import make_manifest


def test_counts_and_rates_by_hand() -> None:
    split = ["train", "train", "val", "val", "test", "test", "test", None]
    subjects = ["a", "b", "a", "c", "a", "d", None, "d"]
    manifest = make_manifest([0, 1] * 4, split=split, subject=subjects)
    manifest.table.loc[6, "sha256"] = manifest.table.loc[1, "sha256"]
    manifest.table.loc[7, "sha256"] = manifest.table.loc[0, "sha256"]  # stands in no split, so it leaks nothing
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
