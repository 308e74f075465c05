from pathlib import Path

import pytest

from ordinalclip.config.compose import conf_dir


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "train.yaml").touch()
    return folder


def test_a_checkout_has_it_beside_the_package(tmp_path: Path) -> None:
    expected = make(tmp_path / "conf")
    (tmp_path / "ordinalclip").mkdir()
    assert conf_dir(tmp_path / "ordinalclip") == expected


def test_a_wheel_has_it_in_the_package(tmp_path: Path) -> None:
    make(tmp_path / "conf")  # somebody else's
    expected = make(tmp_path / "ordinalclip" / "conf")
    assert conf_dir(tmp_path / "ordinalclip") == expected


def test_without_either_it_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"ordinalclip/conf/train\.yaml and .*conf/train\.yaml"):
        conf_dir(tmp_path / "ordinalclip")


def test_here_it_is_found() -> None:
    assert (conf_dir() / "train.yaml").is_file()
