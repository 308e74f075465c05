from pathlib import Path
from typing import Any

import pytest

from ordinalclip.datasets.layouts.ava import load_ava
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made_sets import make_ava

BINS = [1, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10]
NAMES = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
VOTES = {
    953619: "0 1 5 17 38 36 15 6 5 1",
    953958: "10 0 0 0 0 0 0 0 0 0",
    954184: "0 0 0 0 0 0 0 0 0 7",
    954113: "0 0 0 0 1 1 0 0 0 0",
}
TEST = "aesthetics_image_lists/generic_test.jpgl"


def load(root: Path, **options: Any) -> Manifest:
    given = {"bins": BINS, "rank_names": NAMES, "rank_values": list(range(1, 11)), "test": TEST}
    return load_ava(root=str(root), data_dir=root, cache_dir=root.parent / "cache", **given | options)


def test_the_published_table(tmp_path: Path) -> None:
    make_ava(tmp_path / "set", VOTES, test=(954184,))
    made = load(tmp_path / "set")
    table = made.table
    assert table["path"].tolist() == [f"images/{image}.jpg" for image in VOTES]
    # 699 / 124 and (5 + 6) / 2
    assert table["value"].tolist() == pytest.approx([5.6370968, 1, 10, 5.5])
    assert table["rank"].tolist() == [5, 0, 9, 5]
    assert table["deviation"].tolist()[1:] == pytest.approx([0, 0, 0.5])
    assert table["votes"].tolist() == list(VOTES.values())
    assert table["challenge"].tolist() == ["1396"] * 4
    assert table["split"].tolist() == ["train", "train", "test", "train"]
    assert load(tmp_path / "set", test=None).table["split"].isna().all()


def test_votes_may_be_kept_one_by_one(tmp_path: Path) -> None:
    make_ava(tmp_path / "set", VOTES, test=(954184,))
    plain, kept = load(tmp_path / "set"), load(tmp_path / "set", labels=True)
    assert "labels" not in plain.table
    assert kept.table["labels"].tolist()[1:] == ["0 0 0 0 0 0 0 0 0 0", "9 9 9 9 9 9 9", "4 5"]
    assert len(kept.table["labels"][0].split(" ")) == 124
    assert kept.content_hash != plain.content_hash
    with pytest.raises(ConfigError, match="a vote is no rank where"):
        load(tmp_path / "set", labels=True, bins=2, rank_names=None, rank_values=None)


def test_a_train_list_leaves_the_rest_out(tmp_path: Path) -> None:
    make_ava(tmp_path / "set", VOTES, test=(954184,))
    train = tmp_path / "set/aesthetics_image_lists/mine.jpgl"
    train.write_bytes(b"953619\r\n954113.jpg\r\n\r\n")
    made = load(tmp_path / "set", train="aesthetics_image_lists/mine.jpgl")
    assert made.table["split"].tolist() == ["train", "test", "train"]
    assert "1 of 4 images are in neither list and left out" in made.notes
    train.write_text("953619\n954184\n")
    with pytest.raises(DataError, match=r"1 images are in aesthetics_image_lists/mine.jpgl and in"):
        load(tmp_path / "set", train="aesthetics_image_lists/mine.jpgl")
    train.write_text("953619\nnone\n")
    with pytest.raises(DataError, match=r"1 lines are no image ids:\n  none"):
        load(tmp_path / "set", train="aesthetics_image_lists/mine.jpgl")


def test_photos_that_are_gone_are_counted(tmp_path: Path) -> None:
    make_ava(tmp_path / "set", VOTES, test=(954184,), gone=(953958,))
    made = load(tmp_path / "set")
    assert len(made.table) == 3
    assert made.notes[-1] == "1 of 4 images are not there (any more): images/953958.jpg"


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    make_ava(tmp_path / "set", VOTES)
    file = tmp_path / "set" / "AVA.txt"
    good = "1 953619 0 1 5 17 38 36 15 6 5 1 1 22 1396\n"
    bad = ["2 953620 0 0 0 0 0 0 0 0 0 0 1 22 1396", "3 953621 0 1 5", "4 953622 0 1 5 x 38 36 15 6 5 1 1 22 1396"]
    file.write_text(good + "\n".join(bad) + "\n")
    with pytest.raises(DataError, match="3 lines are not 15 whole numbers") as caught:
        load(tmp_path / "set")
    assert all(line in str(caught.value) for line in bad)
    file.write_text("")
    with pytest.raises(DataError, match=r"AVA\.txt: is empty"):
        load(tmp_path / "set")
    file.unlink()
    with pytest.raises(DataError, match=r"half of AVA; there is no AVA\.txt"):
        load(tmp_path / "set")
    with pytest.raises(ConfigError, match=r"dataset\.root"):
        load(tmp_path / "nowhere")
