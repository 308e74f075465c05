import io
import os
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ordinalclip.errors import DataError
from ordinalclip.images.decoding import Limits, decode_rgb, images_in, read_rgb


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Image.new("L", (9, 5), 200).save(tmp_path / "grey.png")
    return tmp_path / "grey.png"


def test_limits_are_held_before_anything_is_decoded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_rgb(file, Limits(max_bytes=file.stat().st_size, max_pixels=45)).size == (9, 5)
    with pytest.raises(DataError, match=r"9 × 5 pixels are more"):
        read_rgb(file, Limits(max_pixels=44))
    with pytest.raises(DataError, match="bytes are more"):
        read_rgb(file, Limits(max_bytes=10))
    with pytest.raises(DataError, match="bytes are more"):
        read_rgb(file.read_bytes(), Limits(max_bytes=10))

    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refuse)
    with pytest.raises(DataError, match="pixels are more"):
        read_rgb(file.read_bytes(), Limits(max_pixels=44))


def test_broken_files_are_named(tmp_path: Path, file: Path) -> None:
    torn = tmp_path / "torn.png"
    torn.write_bytes(file.read_bytes()[:40])
    with pytest.raises(DataError, match=r"torn\.png: "):
        read_rgb(torn)
    with pytest.raises(DataError, match=r"image: not an image"):
        read_rgb(b"no image at all")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png: is no file"):
        read_rgb(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="is a folder; name the images in it"):
        read_rgb(tmp_path)


def test_no_program_is_started_for_postscript(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", refuse)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", "gs")
    drawn = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(DataError, match="PostScript is a program"):
        decode_rgb(drawn, "image")
    with pytest.raises(DataError, match="not an image of a kind that is read"):
        read_rgb(drawn)


def test_an_icon_is_not_decoded_before_its_size_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says 16 × 16 and holds a PNG of any size, which Pillow decodes when it opens the icon."""
    held = io.BytesIO()
    Image.new("L", (200, 200)).save(held, "PNG")
    header = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 8, len(held.getvalue()), 22)

    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", refuse)
    with pytest.raises(DataError, match="not an image of a kind that is read: JPEG, PNG"):
        read_rgb(header + held.getvalue(), Limits(max_pixels=10_000))


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.full((4, 4, 3), 1.5), "floats from 1.5 to 1.5"),
        (torch.full((3, 4, 4), -1.0), "floats from -1 to -1"),
        (np.full((4, 4), np.nan), "floats from nan"),
        (np.zeros((4, 4), int), "int64"),
        (np.zeros((3, 4, 4), np.uint8), r"shape \[3, 4, 4\]: expected \[H, W\], \[H, W, 3\]$"),
        (torch.zeros(2, 4, 4), r"or \[3, H, W\]"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \[0, 4, 3\]"),
    ],
)
def test_arrays_that_are_no_images(image: object, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_rgb(image)


def test_arrays_of_every_kind_are_read() -> None:
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    for image in (grey, grey[..., None], torch.from_numpy(grey), torch.from_numpy(grey)[None], grey / 255):
        assert np.array_equal(np.asarray(read_rgb(image))[..., 1], grey)
    half = torch.ones(3, 4, 5, dtype=torch.bfloat16)
    assert np.asarray(read_rgb(half)).min() == 255


def test_an_array_of_names_is_many_images() -> None:
    assert list(images_in(np.array(["a.png", "b.png"]))) == ["a.png", "b.png"]
    assert list(images_in(pd.Series(["a.png", "b.png"]))) == ["a.png", "b.png"]


def test_other_things_are_no_images() -> None:
    with pytest.raises(TypeError, match="not int"):
        read_rgb(3)
    with pytest.raises(TypeError, match="images are"):
        list(images_in(3))
