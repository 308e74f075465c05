from pathlib import Path

import pandas as pd

from ordinalclip.evaluation.reevaluation import fitted_images, overlap, overlap_messages
from ordinalclip.runs.run import Run
from tests.datasets.made import make_manifest

SUBJECTS = ["a", "a", "b", "c", "d", None, "a"]


def test_what_a_run_has_seen_under_another_split(tmp_path: Path) -> None:
    splits = ["train", "train", "train", "val", "calibration", "test", "test"]
    run = Run(tmp_path)
    make_manifest([0, 1] * 3 + [0], split=splits, subject=SUBJECTS).table.to_parquet(tmp_path / "manifest.parquet")
    fitted = fitted_images(run)
    assert fitted is not None
    assert len(fitted) == 5
    other = make_manifest([0, 1] * 3 + [0], split=["test"] * 7, subject=SUBJECTS)
    images = other.table["sha256"][[1, 2, 3, 4, 5, 6]]
    found = overlap(fitted, other, images, same_set=True)
    # The last image is of a, who was trained on; that of nobody known counts nowhere.
    assert found == {"num_trained_on": 2, "num_chosen_on": 2, "num_of_trained_subjects": 1}
    assert overlap(fitted, other, images, same_set=False) == {"num_trained_on": 2, "num_chosen_on": 2}
    assert overlap_messages(found, 6) == [
        "2 of these 6 images were trained on",
        "2 of these 6 images are of the val split that chose the epoch or fitted the intervals",
        "1 of these 6 images show subjects that were trained on",
    ]


def test_other_images_and_a_run_without_a_record_of_its_own(tmp_path: Path) -> None:
    other = make_manifest([0, 1], split=["test"] * 2)
    assert fitted_images(Run(tmp_path)) is None
    nothing = overlap(None, other, other.table["sha256"], same_set=True)
    assert nothing == {"num_trained_on": 0, "num_chosen_on": 0}
    assert overlap_messages(nothing, 2) == []
    fitted = pd.DataFrame({"sha256": ["f"], "rank": [0], "subject": ["x"], "split": ["train"]})
    assert overlap(fitted, other, other.table["sha256"], same_set=True)["num_of_trained_subjects"] == 0
