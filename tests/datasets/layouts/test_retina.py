from pathlib import Path
from typing import Any

import pytest

from ordinalclip.datasets.layouts.retina import load_aptos, load_eyepacs
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.splits import holdout
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made_sets import make_aptos, make_eyepacs

NAMES = ["absent", "mild", "moderate", "severe", "proliferative"]
# The second id is a number as other readers see it.
APTOS_GRADES = {"000c1434d8d7": 2, "001639390000": 4, "0024cdab0c1e": 1, "00a8624548a9": 0}


def aptos(root: Path, **options: Any) -> Manifest:
    given = {"rank_names": NAMES, "rank_values": [0, 1, 2, 3, 4]}
    return load_aptos(root=str(root), data_dir=root, cache_dir=root.parent / "cache", **given | options)


def test_aptos(tmp_path: Path) -> None:
    make_aptos(tmp_path / "set", APTOS_GRADES)
    made = aptos(tmp_path / "set")
    ranks = dict(zip(made.table["path"], made.table["rank"], strict=True))
    assert ranks == {f"train_images/{image}.png": grade for image, grade in APTOS_GRADES.items()}
    assert made.table["value"].tolist() == [2, 4, 1, 0]
    assert made.table["subject"].isna().all()
    assert made.notes == ()


def test_aptos_wrong_and_incomplete(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.root"):
        aptos(tmp_path / "nowhere")
    make_aptos(tmp_path / "set", APTOS_GRADES)
    for image in ("000c1434d8d7", "00a8624548a9"):
        (tmp_path / "set/train_images" / f"{image}.png").unlink()
    with pytest.raises(DataError) as caught:
        aptos(tmp_path / "set", obtain="from Kaggle")
    for words in ("2 of 4 images that train.csv names", "train_images/000c1434d8d7.png", "half copied", "from Kaggle"):
        assert words in str(caught.value)
    (tmp_path / "set" / "train.csv").write_text("id_code;diagnosis\n000c1434d8d7;severe\n")
    with pytest.raises(DataError, match=r"1 rows have no image with a grade of 0…4:\n  row 2: 000c1434d8d7, severe"):
        aptos(tmp_path / "set")


EYEPACS_GRADES = {"10_left": 0, "10_right": 4, "13_left": 2, "7_right": 1}


def eyepacs(root: Path, **options: Any) -> Manifest:
    given = {"rank_names": NAMES, "rank_values": [0, 1, 2, 3, 4]}
    return load_eyepacs(root=str(root), data_dir=root, cache_dir=root.parent / "cache", **given | options)


def test_both_eyes_are_one_subject(tmp_path: Path) -> None:
    make_eyepacs(tmp_path / "set", EYEPACS_GRADES)
    made = eyepacs(tmp_path / "set")
    table = made.table
    assert table["path"].tolist() == [f"train/{image}.jpeg" for image in EYEPACS_GRADES]
    assert table["rank"].tolist() == [0, 4, 2, 1]
    assert table["subject"].tolist() == ["10", "10", "13", "7"]
    assert table["eye"].tolist() == ["left", "right", "left", "right"]
    assert table["split"].isna().all()
    assert (made.rank_names[4], made.rank_values[4]) == ("proliferative", 4)


def test_no_patient_is_in_two_splits(tmp_path: Path) -> None:
    eyes = [f"{patient}_{side}" for patient in range(40) for side in ("left", "right")]
    make_eyepacs(tmp_path / "set", {eye: index * 7 % 5 for index, eye in enumerate(eyes)})
    table = holdout(eyepacs(tmp_path / "set")).table
    assert set(table.groupby("subject")["split"].nunique()) == {1}
    assert set(table["split"]) == {"train", "val", "test"}


def test_the_test_images_and_their_table_with_a_column_more(tmp_path: Path) -> None:
    make_eyepacs(tmp_path / "set", EYEPACS_GRADES, test={"20_left": 3, "21_right": 0})
    made = eyepacs(tmp_path / "set", test_labels="retinopathy_solution.csv")
    assert made.table["split"].tolist() == ["train"] * 4 + ["test"] * 2
    assert made.table["path"].tolist()[4:] == ["test/20_left.jpeg", "test/21_right.jpeg"]
    assert made.table["rank"].tolist()[4:] == [3, 0]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            "10_left,5\n10_right,x\n11_left,\n",
            ["3 rows have no image with a grade of 0…4", "row 2: 10_left, 5", "(empty)"],
        ),
        ("10_left,0\n10,1\nleft_10,2\n", ["2 images are not called", "left_10"]),
        ("10_left,0\n10_left,1\n", ["2 rows share an image", "row 3: 10_left, 1"]),
        (
            "10_left,0\n12_left,1\n13_left,1\n",
            ["2 of 3 images that trainLabels.csv names are not there", "train/12_left"],
        ),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, rows: str, told: list[str]) -> None:
    make_eyepacs(tmp_path / "set", {"10_left": 0})
    (tmp_path / "set" / "trainLabels.csv").write_text("image,level\n" + rows)
    with pytest.raises(DataError) as caught:
        eyepacs(tmp_path / "set", obtain="ask")
    for words in told:
        assert words in str(caught.value)


def test_missing_images_may_be_left_out(tmp_path: Path) -> None:
    make_eyepacs(tmp_path / "set", EYEPACS_GRADES)
    (tmp_path / "set" / "train" / "10_left.jpeg").unlink()
    manifest = eyepacs(tmp_path / "set", on_error="skip")
    assert len(manifest.table) == len(EYEPACS_GRADES) - 1
    assert "skipped 1 of" in manifest.notes[-1]
    assert "train/10_left.jpeg: file not found" in manifest.notes[-1]
    for image in (tmp_path / "set" / "train").iterdir():
        image.unlink()
    with pytest.raises(
        DataError, match=r"cannot be used[\s\S]*what to do: check that dataset\.root is the right folder"
    ):
        eyepacs(tmp_path / "set", on_error="skip")


def test_columns_are_called_by_their_published_names(tmp_path: Path) -> None:
    make_eyepacs(tmp_path / "set", EYEPACS_GRADES)
    file = tmp_path / "set" / "trainLabels.csv"
    file.write_bytes(b"\xef\xbb\xbfimage,level\r\n10_left,0.0\r\n10_right,4\r\n")
    assert eyepacs(tmp_path / "set").table["rank"].tolist() == [0, 4]
    file.write_text("name,level\n10_left,0\n")
    with pytest.raises(DataError, match="has no column image"):
        eyepacs(tmp_path / "set")
    file.write_bytes("image,level\nö_left,0\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        eyepacs(tmp_path / "set")
    file.unlink()
    with pytest.raises(DataError, match=r"half of EyePACS; there is no trainLabels\.csv"):
        eyepacs(tmp_path / "set")
