import csv
import re
from pathlib import Path

import pytest

from ordinalclip.errors import ConfigError
from ordinalclip.inference.listing import list_images


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("b/2.JPG", "b/10.png", "a/z.webp", "c.tif", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_folder_is_read_to_its_depths_in_order(photos: Path) -> None:
    found = [Path(path).relative_to(photos).as_posix() for path in list_images(str(photos))]
    assert found == ["c.tif", "a/z.webp", "b/10.png", "b/2.JPG"]


def test_what_is_hidden_or_no_image_is_left_out(photos: Path) -> None:
    for name in ("._c.tif", ".cache/1.png", "a.pdf", "b.eps", "c.h5", "d.mpg"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).touch()
    assert [Path(path).name for path in list_images(str(photos))] == ["c.tif", "z.webp", "10.png", "2.JPG"]


def test_names_of_every_kind(tmp_path: Path) -> None:
    names = ["a b.png", "ü 日本.png", 'with "quotes", and a comma.png', "new\nline.png"]
    for name in names:
        (tmp_path / name).touch()
    assert sorted(Path(path).name for path in list_images(str(tmp_path))) == sorted(names)
    with (tmp_path / "my.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["path"], *([name] for name in names)])
    assert list(list_images(str(tmp_path / "my.csv"))) == [str(tmp_path / name) for name in names]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"id,path\na\n", "line 2 of the table has no path"),
        (b"id,path\na,\n", "line 2 of the table has no path"),
        ("path\nmüll.png\n".encode("latin-1"), "the table cannot be read"),
        (b"", "no column path, but nothing"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "my.csv").write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        list(list_images(str(tmp_path / "my.csv")))


def test_a_pattern_an_image_and_a_table(photos: Path) -> None:
    assert list(list_images(f"{photos}/**/*.png")) == [str(photos / "b/10.png")]
    assert list(list_images(str(photos / "c.tif"))) == [str(photos / "c.tif")]
    (photos / "my.csv").write_text("id,path\n1,b/2.JPG\n2,none.png\n", encoding="utf-8")
    assert list(list_images(str(photos / "my.csv"))) == [str(photos / "b/2.JPG"), str(photos / "none.png")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("nothing", "there is no such folder or file"),
        ("*.bmp", "no file is matched by it"),
        ("empty", "no file in it has the name of an image"),
        ("no_path.csv", "no column path, but id"),
        ("no_rows.csv", "it has no rows"),
    ],
)
def test_what_there_is_not(photos: Path, words: str, told: str) -> None:
    (photos / "empty").mkdir()
    (photos / "no_path.csv").write_text("id\n1\n", encoding="utf-8")
    (photos / "no_rows.csv").write_text("path\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(told)):
        list(list_images(str(photos / words)))
