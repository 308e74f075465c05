from pathlib import Path
from typing import Any

import pytest

from ordinalclip.datasets.layouts.gdrbench import load_gdrbench
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.errors import ConfigError, DataError
from tests.datasets.made import write_image
from tests.datasets.made_sets import make_gdrbench

NAMES = ["absent", "mild", "moderate", "severe", "proliferative"]


def load(root: Path, **options: Any) -> Manifest:
    given = {"rank_names": NAMES, "rank_values": [0, 1, 2, 3, 4], "sources": ["APTOS", "DEEPDR"]}
    return load_gdrbench(root=str(root), data_dir=root, cache_dir=root.parent / "cache", **given | options)


def test_ranks_are_in_the_order_of_the_grades(tmp_path: Path) -> None:
    make_gdrbench(tmp_path / "set")
    made = load(tmp_path / "set", targets=["RLDR"])
    ranks = made.table.groupby(made.table["path"].str.split("/").str[1])["rank"].agg(set)
    order = {"nodr": {0}, "mild_npdr": {1}, "moderate_npdr": {2}, "severe_npdr": {3}, "pdr": {4}}
    assert dict(ranks) == order
    assert list(ranks.index) != list(order)  # the alphabet's is another
    counts = made.table.groupby(["source", "split"]).size().to_dict()
    assert counts == {
        ("APTOS", "train"): 15,
        ("APTOS", "val"): 5,
        ("DEEPDR", "train"): 15,
        ("DEEPDR", "val"): 5,
        ("RLDR", "test"): 20,
    }
    assert made.notes == ()


def test_without_targets_the_crossval_lists_are_the_test(tmp_path: Path) -> None:
    make_gdrbench(tmp_path / "set")
    table = load(tmp_path / "set", sources=["RLDR"]).table
    assert table["split"].value_counts().to_dict() == {"train": 15, "test": 5}
    assert table.loc[table["split"] == "test", "path"].str.contains("/0_").all()


def test_a_list_against_its_folders_is_refused(tmp_path: Path) -> None:
    make_gdrbench(tmp_path / "set")
    file = tmp_path / "set/splits/APTOS_train.txt"
    lines = file.read_text().splitlines()
    # As a reader that numbers the folders by the alphabet would write them.
    alphabet = ["mild_npdr", "moderate_npdr", "nodr", "pdr", "severe_npdr"]
    swapped = [f"{line.split()[0]} {alphabet.index(line.split('/')[1])}" for line in lines]
    file.write_bytes(("\r\n".join(swapped) + "\r\n").encode())
    with pytest.raises(DataError, match="15 lines have a grade that is not their folder's") as caught:
        load(tmp_path / "set")
    assert "0 nodr, 1 mild_npdr" in str(caught.value)
    assert "APTOS/nodr/1_0.png 2" in str(caught.value)


def test_sets_that_there_are_not(tmp_path: Path) -> None:
    make_gdrbench(tmp_path / "set")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "set", targets=["EYEPACS"])
    assert (caught.value.key, caught.value.allowed) == ("dataset.targets", "APTOS, DEEPDR, RLDR")
    with pytest.raises(ConfigError, match="among the sources"):
        load(tmp_path / "set", targets=["APTOS"])
    with pytest.raises(ConfigError, match=r"dataset\.root"):
        load(tmp_path / "nowhere")


def test_missing_and_unlisted_images_are_told(tmp_path: Path) -> None:
    make_gdrbench(tmp_path / "set")
    write_image(tmp_path / "set/images/APTOS/pdr/more.png", 77)
    made = load(tmp_path / "set")
    assert made.notes == ("1 images of APTOS are in none of its lists: APTOS/pdr/more.png",)
    (tmp_path / "set/images/DEEPDR/pdr/2_4.png").unlink()
    with pytest.raises(DataError, match=r"1 of 40 images that its lists name are not there:\n  images/DEEPDR/pdr/2_4"):
        load(tmp_path / "set")
