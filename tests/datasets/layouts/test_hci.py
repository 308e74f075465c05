from pathlib import Path
from typing import Any

import pytest

from ordinalclip.datasets.layouts.hci import _splits, load_hci
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made_sets import make_hci

DECADES = ["1930s", "1940s", "1950s", "1960s", "1970s"]


def load(root: Path, **options: Any) -> Manifest:
    given = {"decades": DECADES, "rank_names": DECADES, "rank_values": [1935, 1945, 1955, 1965, 1975]}
    return load_hci(root=str(root), data_dir=root, cache_dir=root.parent / "cache", **given | options)


@pytest.mark.parametrize("place", ["data/imgs/decade_database", "data/imgs/decades", "."])
def test_each_layout_has_the_same_manifest(tmp_path: Path, place: str) -> None:
    make_hci(tmp_path / "HistoricalColor-ECCV2012", 6, place)
    made = load(tmp_path / "HistoricalColor-ECCV2012")
    table = made.table.set_index("path")
    assert sorted(table.index) == sorted(f"{decade}/{index}_decade.jpg" for decade in DECADES for index in range(6))
    assert (table["rank"]["1930s/0_decade.jpg"], table["value"]["1930s/0_decade.jpg"]) == (0, 1935)
    assert (table["rank"]["1970s/5_decade.jpg"], table["value"]["1970s/5_decade.jpg"]) == (4, 1975)
    counts = made.table.groupby(["rank", "split"]).size().unstack()
    assert counts[["train", "val", "test"]].to_numpy().tolist() == [[4, 1, 1]] * 5
    assert made.notes[0].startswith("the published set has 265 images of each decade; here there are 6 in the 1930s, 6")
    # The least of `printf "0 <path>" | sha256sum` in each decade: splits must not move from release to release.
    tested = set(table.index[table["split"] == "test"])
    pinned = {"1930s/3", "1940s/5", "1950s/3", "1960s/1", "1970s/0"}
    assert tested == {f"{path}_decade.jpg" for path in pinned}


def test_a_published_decade_is_split_210_5_50() -> None:
    images = [f"1950s/{index}.jpg" for index in range(265)]
    tests, splits = [], []
    for fold in range(10):
        split = _splits(images, fold)
        assert {word: split.count(word) for word in ("train", "val", "test")} == {"train": 210, "val": 5, "test": 50}
        # Of each image by itself: the order that files are found in is nothing.
        backwards = _splits(images[::-1], fold)[::-1]
        assert split == backwards
        tests.append({image for image, word in zip(images, split, strict=True) if word == "test"})
        splits.append(tuple(split))
    assert len(set(splits)) == 10
    # Random ones share 50 · 50 / 265 = 9.4 on average.
    shared = [len(one & other) for number, one in enumerate(tests) for other in tests[:number]]
    assert 7 < sum(shared) / len(shared) < 12


def test_without_a_fold_the_protocol_splits(tmp_path: Path) -> None:
    make_hci(tmp_path / "set", 3)
    assert load(tmp_path / "set", fold=None).table["split"].isna().all()


def test_broken_files_are_noted_and_move_no_other(tmp_path: Path) -> None:
    make_hci(tmp_path / "set", 7)
    whole = load(tmp_path / "set").table.set_index("path")["split"]
    (tmp_path / "set" / "data/imgs/decade_database/1940s/3_decade.jpg").write_bytes(b"no image")
    made = load(tmp_path / "set")
    assert len(made.table) == 34
    assert made.table.set_index("path")["split"].equals(whole.drop("1940s/3_decade.jpg"))
    assert any("skipped 1 of 35 images" in note and "1940s/3_decade.jpg" in note for note in made.notes)
    with pytest.raises(DataError, match="1 of 35 images"):
        load(tmp_path / "set", on_error="raise")


def test_half_a_copy_and_another_folder(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "set", obtain="ask for it")
    assert (caught.value.key, caught.value.remedy) == ("dataset.root", "ask for it")
    make_hci(tmp_path / "set", 2)
    for decade in ("1950s", "1960s"):
        folder = tmp_path / "set" / "data/imgs/decade_database" / decade
        for image in folder.iterdir():
            image.unlink()
    folder.rmdir()
    with pytest.raises(DataError, match=r"2 decades have no image:\n  1950s\n  1960s\n  what to do: unpack"):
        load(tmp_path / "set")
