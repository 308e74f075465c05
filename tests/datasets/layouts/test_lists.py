from pathlib import Path
from typing import Any

import pytest

from ordinalclip.datasets.layouts.lists import load_lists
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.table_files import read_list
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made import write_image


def write_lists(root: Path, **lists: str) -> Path:
    """List files, and an image for every path that ends in .jpg and a blank."""
    root.mkdir(exist_ok=True)
    for name, text in lists.items():
        (root / f"{name}.txt").write_text(text, encoding="utf-8", newline="")
        for number, line in enumerate(text.splitlines()):
            path = line.partition(".jpg")[0].strip() + ".jpg"
            if not (root / path).exists():
                write_image(root / path, hash((name, number)) % 1000)
    return root


def load(root: Path, **options: Any) -> Manifest:
    given = {"train": "train.txt", "val": "val.txt", "test": "test.txt", "num_ranks": 6} | options
    return load_lists(root=str(root), data_dir=root, cache_dir=root / "cache", **given)


LISTS = {"train": "a.jpg 0\nb.jpg 1\n", "val": "c.jpg 2\n", "test": "d.jpg 3\ne.jpg 5\n"}


@pytest.mark.parametrize(
    ("line", "path", "rank", "labels"),
    [
        ("a/b.jpg 3", "a/b.jpg", 3, "3"),
        ("a/b.jpg\t3\r", "a/b.jpg", 3, "3"),
        ("a b/c d.jpg 3", "a b/c d.jpg", 3, "3"),
        ("album 2/face 7.jpg  3", "album 2/face 7.jpg", 3, "3"),
        ("7.jpg, 3", "7.jpg", 3, "3"),
        ("./a//b.jpg;3", "a/b.jpg", 3, "3"),
        ("a\\b.jpg 3", "a/b.jpg", 3, "3"),
        ("a.jpg 5 1 2", "a.jpg", 2, "5 1 2"),  # the middle in order, not as written
        ("a.jpg 4 1\t5 , 0", "a.jpg", 4, "4 1 5 0"),  # of 0 1 4 5 the upper middle
        ("a.jpg 1 5", "a.jpg", 5, "1 5"),
        ("  größe.jpg 0  ", "größe.jpg", 0, "0"),
    ],
)
def test_a_line(tmp_path: Path, line: str, path: str, rank: int, labels: str) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(b"\xef\xbb\xbf" + f"x.jpg 0\n\n{line}\n".encode())
    read = read_list(file, 6)
    assert read.iloc[1].to_dict() == {"path": path, "rank": rank, "labels": labels}
    assert len(read) == 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path: Path, end: str) -> None:
    (tmp_path / "list.txt").write_bytes(end.join(["a.jpg 1", "b.jpg\t2", "c.jpg,3"]).encode())
    assert list(read_list(tmp_path / "list.txt", 6)["rank"]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a.jpg 1\nb.jpg\n\nc.jpg x\n", ["2 lines are not a path", "line 2: b.jpg", "line 4: c.jpg x"]),
        ("a.jpg 1.5\n", ["1 lines are not a path", "line 1: a.jpg 1.5"]),
        ("a.jpg 6\nb.jpg 2 -1\n", ["2 lines have a label outside 0…5", "line 1: a.jpg 6", "line 2: b.jpg 2 -1"]),
        ("7\n", ["are not a path"]),
        ("\n", ["names no image"]),
    ],
)
def test_lines_that_are_none(tmp_path: Path, text: str, told: list[str]) -> None:
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(DataError) as caught:
        read_list(tmp_path / "list.txt", 6)
    for words in told:
        assert words in str(caught.value)


def test_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("größe.jpg 1\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_list(tmp_path / "list.txt", 6)


def test_the_key_says_which_split_a_list_is(tmp_path: Path) -> None:
    root = write_lists(tmp_path / "set", test_train=LISTS["train"], train_val=LISTS["val"], val=LISTS["test"])
    made = load(root, train="test_train.txt", val="train_val.txt", test="val.txt", rank_values=[0, 10, 20, 30, 40, 50])
    table = made.table.set_index("path")
    assert dict(table["split"]) == {
        "a.jpg": "train",
        "b.jpg": "train",
        "c.jpg": "val",
        "d.jpg": "test",
        "e.jpg": "test",
    }
    assert dict(table["rank"]) == {"a.jpg": 0, "b.jpg": 1, "c.jpg": 2, "d.jpg": 3, "e.jpg": 5}
    assert table["value"]["e.jpg"] == 50
    assert made.rank_names == ("0", "1", "2", "3", "4", "5")
    assert "labels" not in table
    assert made.notes == ()


def test_annotators_labels_are_kept(tmp_path: Path) -> None:
    root = write_lists(tmp_path / "set", **LISTS | {"train": "a.jpg 0 0 3\nb.jpg 1\n"})
    made = load(root)
    assert list(made.table["labels"][:2]) == ["0 0 3", "1"]
    assert list(made.table["rank"][:2]) == [0, 1]
    assert "middle one" in made.notes[0]


def test_a_val_list_that_is_the_test_list_is_refused_unless_said(tmp_path: Path) -> None:
    root = write_lists(tmp_path / "set", train=LISTS["train"], val="e.jpg\t5\r\nd.jpg 3\n", test=LISTS["test"])
    with pytest.raises(ConfigError, match="names the 2 test images") as caught:
        load(root)
    assert caught.value.key == "protocol.select_on"
    made = load(root, select_on="test")
    assert list(made.table["split"]) == ["train", "train", "test", "test"]
    assert "there is no other val split" in made.notes[0]
    assert load(root, val=None, select_on="test").content_hash == made.content_hash


@pytest.mark.parametrize(
    ("lists", "told"),
    [
        ({"test": "a.jpg 0\nd.jpg 3\n"}, "1 images are in the train list and in the test list: a.jpg"),
        ({"val": "./b.jpg 1\n"}, "1 images are in the train list and in the val list: b.jpg"),
        ({"val": "c.jpg 2\nd.jpg 3\n"}, "1 images are in the val list and in the test list: d.jpg"),
    ],
)
@pytest.mark.parametrize("select_on", ["val", "test"])
def test_an_image_in_two_lists_is_refused(tmp_path: Path, lists: dict[str, str], told: str, select_on: str) -> None:
    root = write_lists(tmp_path / "set", **LISTS | lists)
    with pytest.raises(DataError, match=told):
        load(root, select_on=select_on)


def test_fold_and_part_are_written_into_the_names(tmp_path: Path) -> None:
    root = tmp_path / "set"
    other = {"train": "e.jpg 4\nd.jpg 3\n", "val": "c.jpg 2\n", "test": "a.jpg 0\nb.jpg 1\n"}
    for fold, lists in enumerate((LISTS, other)):
        write_lists(root, **{f"x{fold}_{split}": text for split, text in lists.items()})
    names = {split: "{part}{fold}_" + split + ".txt" for split in LISTS}
    manifests = [load(root, fold=fold, part="x", **names) for fold in (0, 1)]
    tested = [set(made.table["path"][made.table["split"] == "test"]) for made in manifests]
    assert tested == [{"d.jpg", "e.jpg"}, {"a.jpg", "b.jpg"}]
    for wrong, key in (({"fold": None, "part": "x"}, "dataset.fold"), ({"fold": 0}, "dataset.part")):
        with pytest.raises(ConfigError, match="has a place for it") as caught:
            load(root, **names, **wrong)
        assert caught.value.key == key
    with pytest.raises(ConfigError, match="no list's name has a place"):
        load(root, train="x0_train.txt", val="x0_val.txt", test="x0_test.txt", fold=0)
    with pytest.raises(ConfigError, match="no such list") as caught:
        load(root, fold=7, part="x", **names)
    assert "x0_train.txt" in caught.value.allowed


def test_subjects_come_from_the_paths(tmp_path: Path) -> None:
    root = write_lists(tmp_path / "set", train="p/7_1M.jpg 0\np/7_2M.jpg 1\n", val="8_1F.jpg 2\n", test="9_1F.jpg 3\n")
    made = load(root, subject="(?:^|/)([^/_]+)_[^/]*$")
    assert list(made.table["subject"]) == ["7", "7", "8", "9"]
    with pytest.raises(ConfigError, match="fits no part of 2 paths"):
        load(root, subject="^p/([0-9]+)_")


def test_a_missing_set_is_told_with_layout_and_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "nowhere", images="faces", obtain="ask for it")
    error = caught.value
    assert error.key == "dataset.root"
    assert f"no folder {tmp_path / 'nowhere'}" in str(error)
    for part in ("faces", "train.txt", "val.txt", "test.txt"):
        assert str(tmp_path / "nowhere" / part) in error.allowed
    assert error.remedy == "ask for it"
    root = write_lists(tmp_path / "set", **LISTS)
    with pytest.raises(ConfigError, match=r"no folder .*faces"):
        load(root, images="faces")
    with pytest.raises(ConfigError, match=r"dataset\.test=other\.txt: there is no such list"):
        load(root, test="other.txt")
    with pytest.raises(ConfigError, match="rank_names"):
        load(root, rank_names=["a", "b"])
    (root / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 5 images that the lists name are not there:\n  a.jpg\n"):
        load(root)
