import base64
import os
from pathlib import Path

import pytest

from ordinalclip.errors import DataError
from ordinalclip.images.decoding import Limits
from ordinalclip.serving.sent_images import ROOTS, image_roots, sent_image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a.png").write_bytes(b"image")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "open" / "link.png").symlink_to(tmp_path / "secret.png")
    return tmp_path / "open"


def test_base64_with_and_without_its_prefix() -> None:
    text = base64.b64encode(b"bytes of an image").decode()
    assert sent_image(text, []) == b"bytes of an image"
    assert sent_image(f"data:image/png;base64,{text}", []) == b"bytes of an image"
    with pytest.raises(DataError, match="neither base64 nor an allowed path"):
        sent_image("%%%", [])
    with pytest.raises(DataError, match="larger than the limit of 5 bytes"):
        sent_image(text, [], Limits(max_bytes=5))


def test_paths_are_read_within_the_folders_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sent_image("a.png", [root]) == root / "a.png"
    assert sent_image(str(root / "a.png"), [root]) == root / "a.png"
    monkeypatch.setenv(ROOTS, f"{root}:{root.parent / 'none'}")
    assert image_roots()[0] == root.resolve()
    monkeypatch.delenv(ROOTS)
    assert image_roots() == []


@pytest.mark.parametrize("value", [None, 5, 1.5, b"x", ["a.png"]])
def test_what_is_no_text_is_refused(value: object, root: Path) -> None:
    with pytest.raises(DataError, match="is not a string; an image is sent as base64 or as a path"):
        sent_image(value, [root])


def test_paths_that_no_system_takes_are_refused_like_others(root: Path) -> None:
    (root / "circle.png").symlink_to(root / "circle.png")
    os.mkfifo(root / "pipe.png")
    for text in ("a\0.png", "a" * 4000 + ".png", "circle.png", "pipe.png", "file:///etc/host.conf", "http://a.b/c.png"):
        with pytest.raises(DataError, match="folders that this server may read"):
            sent_image(text, [root])


@pytest.mark.parametrize(
    "path", ["../secret.png", "link.png", "none.png", "/etc/passwd.d/../passwd", "./../secret.png"]
)
def test_no_other_path_is_read_and_none_is_told_of(root: Path, path: str) -> None:
    for text in (path, str(root.parent / "secret.png"), str(root.parent / "none.png")):
        with pytest.raises(DataError, match="folders that this server may read"):
            sent_image(text, [root])
    with pytest.raises(DataError, match="in none of the 0 folders"):
        sent_image("a.png", [])
