from pathlib import Path
from typing import Any

import pytest

from ordinalclip.datasets.layouts.aesthetics import grade_by, load_aesthetics
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made_sets import make_aesthetics

NAMES = ["unacceptable", "flawed", "ordinary", "professional", "exceptional"]
ROWS = [
    ("8121370521", "nature", "3,3,4,2,5"),
    ("8121370522", "nature", "1,2"),
    ("8121370523", "Animal", "5, 5, 4, 4"),
    ("8121370524", "urban", "1"),
    ("0081213705", "people", "2,2,2,5,5,5"),
]


def load(root: Path, **options: Any) -> Manifest:
    given = {"rank_names": NAMES, "rank_values": [1, 2, 3, 4, 5]}
    return load_aesthetics(root=str(root), data_dir=root, cache_dir=root.parent / "cache", **given | options)


def test_the_published_table(tmp_path: Path) -> None:
    make_aesthetics(tmp_path / "set", ROWS)
    made = load(tmp_path / "set")
    table = made.table
    assert table["path"].tolist() == [f"images/{row[0]}.jpg" for row in ROWS]
    assert table["rank"].tolist() == [2, 1, 4, 0, 4]
    assert table["value"].tolist() == [3, 2, 5, 1, 5]
    assert table["labels"].tolist() == ["2 2 3 1 4", "0 1", "4 4 3 3", "0", "1 1 1 4 4 4"]
    assert table["deviation"].tolist() == pytest.approx([1.0198039, 0.5, 0.5, 0, 1.5])
    assert table["category"].tolist() == ["nature", "nature", "animals", "urban", "people"]
    assert table["split"].isna().all()
    assert made.notes == ("the grade is the median of the scores",)


@pytest.mark.parametrize(
    ("scores", "median", "truncated", "rounded"),
    [
        ([3], 3, 3, 3),
        ([1, 2], 2, 1, 2),
        ([5, 1, 1], 1, 1, 2),
        ([1, 4], 4, 2, 3),
        ([2, 2, 2, 5, 5, 5], 5, 3, 4),
        ([1, 1, 1, 2], 1, 1, 1),
        ([4, 3, 4, 3], 4, 3, 4),
    ],
)
def test_rules(scores: list[int], median: int, truncated: int, rounded: int) -> None:
    assert grade_by("median", scores) == median
    assert grade_by("truncated_median", scores) == truncated
    assert grade_by("rounded_mean", scores) == rounded


def test_a_rule_and_a_category_are_chosen(tmp_path: Path) -> None:
    make_aesthetics(tmp_path / "set", ROWS)
    made = load(tmp_path / "set", rule="truncated_median", category="nature")
    assert made.table["rank"].tolist() == [2, 0]
    assert made.notes == ("the grade is the truncated median of the scores",)
    assert load(tmp_path / "set", category="animals").table["rank"].tolist() == [4]


def test_photos_that_are_gone_are_counted(tmp_path: Path) -> None:
    make_aesthetics(tmp_path / "set", ROWS, gone=("8121370522", "0081213705"))
    made = load(tmp_path / "set")
    assert made.table["rank"].tolist() == [2, 4, 0]
    gone = "2 of 5 images are not there (any more): images/8121370522.jpg, images/0081213705.jpg"
    assert made.notes[1] == gone
    # A photo that was fetched in another format counts.
    (tmp_path / "set/images/8121370521.jpg").rename(tmp_path / "set/images/8121370521.png")
    assert load(tmp_path / "set").table["path"][0] == "images/8121370521.png"
    make_aesthetics(tmp_path / "none", ROWS, gone=tuple(row[0] for row in ROWS))
    with pytest.raises(DataError, match="none of its 5 images is there"):
        load(tmp_path / "none")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([("1", "nature", "3,6"), ("2", "nature", "")], ["2 rows have no scores", "row 2: 1 nature 3,6", "row 3: 2"]),
        ([("1", "nature", "3,x"), ("2", "nature", "3")], ["1 rows have no scores", "row 2: 1 nature 3,x"]),
        ([("1", "sky", "3")], ["1 rows have no category", "row 2: 1 sky 3"]),
        ([("1", "", "3")], ["1 rows have no category", "row 2: 1 (empty) 3"]),
    ],
)
def test_dirty_rows(tmp_path: Path, rows: list[tuple[str, str, str]], told: list[str]) -> None:
    make_aesthetics(tmp_path / "set", rows)
    with pytest.raises(DataError) as caught:
        load(tmp_path / "set")
    for words in told:
        assert words in str(caught.value)


def test_other_tables_and_folders(tmp_path: Path) -> None:
    make_aesthetics(tmp_path / "set", ROWS)
    file = tmp_path / "set" / "beauty-icwsm15-dataset.tsv"
    file.write_text(file.read_text().replace("beauty_scores", "scores"))
    with pytest.raises(DataError, match="has no column beauty_scores"):
        load(tmp_path / "set")
    file.unlink()
    with pytest.raises(DataError, match=r"half of Image Aesthetics; there is no beauty-icwsm15-dataset\.tsv"):
        load(tmp_path / "set")
    with pytest.raises(ConfigError, match=r"dataset\.root"):
        load(tmp_path / "nowhere")
