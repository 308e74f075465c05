from pathlib import Path
from typing import Any

import pytest

from ordinalclip.datasets.layouts.koniq import load_koniq
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made_sets import make_koniq

BINS = [1, 1.5, 2.5, 3.5, 4.5, 5]
ROWS = [
    ("10004473376.jpg", "0,0,25,73,7", "training"),
    ("10007357496.jpg", "0,3,45,47,1", "test"),
    ("10007903636.jpg", "90,10,0,0,0", "validation"),
    ("10009096245.jpg", "0.5,0.25,0.25,0,0", "training"),
]
SETS = "koniq10k_distributions_sets.csv"
SCORES = "koniq10k_scores_and_distributions.csv"


def load(root: Path, **options: Any) -> Manifest:
    given = {"bins": BINS, "rank_names": ["bad", "poor", "fair", "good", "excellent"], "rank_values": [1, 2, 3, 4, 5]}
    return load_koniq(root=str(root), data_dir=root, cache_dir=root.parent / "cache", **given | options)


def test_the_table_with_sets(tmp_path: Path) -> None:
    make_koniq(tmp_path / "set", ROWS)
    made = load(tmp_path / "set")
    table = made.table
    assert table["path"].tolist() == [f"1024x768/{row[0]}" for row in ROWS]
    # 402/105, 334/96, 110/100, 1.75; never the column MOS, which is on another scale in each of the two tables.
    assert table["value"].tolist() == pytest.approx([3.8285714, 3.4791667, 1.1, 1.75])
    assert table["deviation"].tolist()[2:] == pytest.approx([0.3, 0.8291562])
    assert table["rank"].tolist() == [3, 2, 0, 1]
    assert table["split"].tolist() == ["train", "test", "val", "train"]
    # The table has shares and their number. Of one vote there are no quarters: that row keeps its shares.
    assert table["raw"].tolist()[1] == "0.0 0.03125 0.46875 0.489583333333 0.0104166666667"
    assert table["votes"].tolist() == ["0 0 25 73 7", "0 3 45 47 1", "90 10 0 0 0", "0.5 0.25 0.25 0 0"]
    assert made.notes == ("values were cut into 5 ranks at 1, 1.5, 2.5, 3.5, 4.5, 5",)


def test_the_table_without_sets(tmp_path: Path) -> None:
    make_koniq(tmp_path / "set", ROWS, SCORES)
    made = load(tmp_path / "set", scores=SCORES)
    assert made.table["rank"].tolist() == [3, 2, 0, 1]
    assert made.table["split"].isna().all()
    assert "labels" not in made.table  # of shares none can be made
    made = load(tmp_path / "set", scores=SCORES, bins=2, rank_names=None, rank_values=None)
    assert made.table["rank"].tolist() == [1, 1, 0, 0]
    with pytest.raises(ConfigError, match="rank_names"):
        load(tmp_path / "set", scores=SCORES, bins=2)


@pytest.mark.parametrize("scores", [SETS, SCORES])
def test_votes_can_be_drawn_from(tmp_path: Path, scores: str) -> None:
    make_koniq(tmp_path / "set", [("a.jpg", "0,1,0,2,0", "training"), ("b.jpg", "3,0,0,0,0", "test")], scores)
    assert load(tmp_path / "set", scores=scores).table["labels"].tolist() == ["1 3 3", "0 0 0"]


def test_dirty_rows_and_half_copies(tmp_path: Path) -> None:
    make_koniq(tmp_path / "set", [*ROWS, ("a.jpg", "0,0,0,0,0", "test"), ("b.jpg", "1,x,0,0,0", "test")])
    with pytest.raises(DataError, match=r"2 rows have no image with votes in c1…c5:\n  row 6: a.jpg\n  row 7: b.jpg"):
        load(tmp_path / "set")
    make_koniq(tmp_path / "set", ROWS)
    (tmp_path / "set/1024x768/10007357496.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 4 images that koniq10k_distributions_sets.csv names"):
        load(tmp_path / "set")
    with pytest.raises(DataError, match="there is no 512x384"):
        load(tmp_path / "set", images="512x384")
    file = tmp_path / "set" / SETS
    file.write_text("image_name,MOS\na.jpg,3\n")
    with pytest.raises(DataError, match="has no column c1"):
        load(tmp_path / "set")
