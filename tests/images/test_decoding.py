import hashlib
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
from ordinalclip.images import decoding
from ordinalclip.images.decoding import Limits, images_in, inspect_images, open_rgb, read_rgb
from tests.datasets.made import write_image
from tests.made_images import ODD_TAGS, odd_exif

RED = (200, 10, 20)


def saved(tmp_path, image, name="picture.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def pixel(path, at=(0, 0)):
    image = open_rgb(path)
    assert image.mode == "RGB"
    return image.getpixel(at)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 90, (90, 90, 90)),
        ("RGB", RED, RED),
        ("RGBA", (*RED, 255), RED),
        ("RGBA", (*RED, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),  # a fifth of black over white
        ("LA", (0, 51), (204, 204, 204)),
        ("LA", (70, 255), (70, 70, 70)),
    ],
)
def test_png_modes_over_white(tmp_path, mode, colour, expected):
    assert pixel(saved(tmp_path, Image.new(mode, (3, 2), colour))) == expected


def test_palette_with_and_without_transparency(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, 0, 0, 250])
    palette.putpixel((1, 0), 1)
    opaque = saved(tmp_path, palette, "opaque.png")
    assert [pixel(opaque, (x, 0)) for x in (0, 1)] == [RED, (0, 0, 250)]
    clear = saved(tmp_path, palette, "clear.gif", transparency=1)
    assert [pixel(clear, (x, 0)) for x in (0, 1)] == [RED, (255, 255, 255)]


def test_transparent_colour_of_a_grey_png_is_white(tmp_path):
    path = saved(tmp_path, Image.new("L", (2, 2), 7), transparency=7)
    assert pixel(path) == (255, 255, 255)


@pytest.mark.parametrize("name", ["picture.jpg", "picture.tif"])
def test_cmyk(tmp_path, name):
    options = {"quality": 100} if name.endswith("jpg") else {}
    path = saved(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), name, **options)
    np.testing.assert_allclose(pixel(path), (255, 0, 0), atol=3)


@pytest.mark.parametrize("name", ["grey.png", "grey.tif"])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path, name):
    grey = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    path = saved(tmp_path, Image.fromarray(grey), name)
    assert [pixel(path, (x, 0))[0] for x in range(4)] == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0, 255.0]], dtype=np.float32), [0, 100, 255]),
        (np.array([[-1.0, 0.0, 3.0]], dtype=np.float32), [0, 64, 255]),
        (np.array([[0.0, np.nan, 1.0]], dtype=np.float32), [0, 0, 255]),
        (np.array([[0, 32768, 65535]], dtype=np.int32), [0, 128, 255]),
        (np.array([[0, 50_000, 100_000]], dtype=np.int32), [0, 128, 255]),
        (np.full((1, 3), -5, dtype=np.int32), [0, 0, 0]),
    ],
)
def test_floats_and_wide_integers(tmp_path, values, expected):
    path = saved(tmp_path, Image.fromarray(values), "wide.tif")
    assert [pixel(path, (x, 0))[0] for x in range(3)] == expected


@pytest.mark.parametrize("mode", ["RGB", "I;16"])
def test_exif_orientation_is_applied(tmp_path, mode):
    image = Image.new("RGB", (4, 2)) if mode == "RGB" else Image.fromarray(np.zeros((2, 4), dtype=np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    assert open_rgb(saved(tmp_path, image, "turned.png", exif=exif)).size == (2, 4)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the tags
@pytest.mark.parametrize("tag", ODD_TAGS.values(), ids=ODD_TAGS)
@pytest.mark.parametrize("name", ["odd.jpg", "odd.png", "odd.webp"])
def test_odd_exif_tags_beside_the_orientation_do_not_matter(tmp_path, name, tag):
    image = Image.new("RGB", (16, 8), RED)
    image.paste((255, 255, 255), (8, 0, 16, 8))  # the right half is white; turned clockwise, the lower half
    path = saved(tmp_path, image, name, exif=odd_exif(tag))
    assert inspect_images([path], tmp_path / "cache")["error"].isna().all()
    for read in (open_rgb, read_rgb, lambda file: read_rgb(file.read_bytes()), lambda file: read_rgb(Image.open(file))):
        upright = read(path)
        assert upright.size == (8, 16)
        np.testing.assert_allclose(upright.getpixel((4, 2)), RED, atol=30)
        np.testing.assert_allclose(upright.getpixel((4, 14)), (255, 255, 255), atol=30)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("exif", [b"", b"II", b"II*\0\xff\xff\xff\xff", b"no EXIF" * 9])
def test_exif_that_is_none_leaves_the_image_as_it_is(tmp_path, exif):
    path = saved(tmp_path, Image.new("RGB", (16, 8), RED), "odd.jpg", exif=b"Exif\0\0" + exif)
    assert open_rgb(path).size == (16, 8)


def test_one_pixel_and_odd_names(tmp_path):
    path = saved(tmp_path, Image.new("RGB", (1, 1), RED), "ein Bild mit Ümlaut 図.png")
    assert open_rgb(path).size == (1, 1)
    assert inspect_images([path], tmp_path / "cache")["error"].isna().all()


def broken_files(tmp_path):
    whole = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, size=(64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(whole, "JPEG")
    contents = {
        "truncated.jpg": whole.getvalue()[:-600],
        "header only.png": b"\x89PNG\r\n\x1a\n",
        "empty.png": b"",
        "text.png": b"path,rank\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.png").mkdir()
    return [*(tmp_path / name for name in contents), tmp_path / "folder.png", tmp_path / "absent.png"]


def test_broken_files_are_told_apart(tmp_path):
    paths = broken_files(tmp_path)
    told = inspect_images(paths, tmp_path / "cache")["error"].tolist()
    for error, part in zip(
        told, ["truncated", "", "0 bytes", "not an image", "is a folder", "file not found"], strict=True
    ):
        assert part in error
    for path in paths:
        for read in (open_rgb, read_rgb):
            with pytest.raises(DataError, match=path.name):
                read(path)


def test_inspection_gives_hashes_and_is_remembered(tmp_path, monkeypatch):
    paths = [write_image(tmp_path / "a" / f"{index}.png", index) for index in range(3)]
    first = inspect_images(paths, tmp_path / "cache")
    assert first["sha256"].tolist() == [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    looked_at = []
    original = decoding._inspect
    monkeypatch.setattr(decoding, "_inspect", lambda name: looked_at.append(name) or original(name))
    pd.testing.assert_frame_equal(inspect_images(paths, tmp_path / "cache"), first)
    assert looked_at == []
    write_image(paths[1], 9, size=7)
    added = write_image(tmp_path / "a" / "new.png", 5)
    again = inspect_images([*paths, added], tmp_path / "cache")
    assert sorted(looked_at) == sorted([str(paths[1]), str(added)])
    assert again["sha256"].tolist()[1] != first["sha256"].tolist()[1]


def test_broken_images_are_looked_at_each_time(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"")
    assert inspect_images([path], tmp_path / "cache")["error"].notna().all()
    write_image(path)
    assert inspect_images([path], tmp_path / "cache")["error"].isna().all()


def test_a_damaged_memory_is_no_error(tmp_path):
    path = write_image(tmp_path / "a.png")
    inspect_images([path], tmp_path / "cache")
    (memory,) = (tmp_path / "cache" / "inspected").iterdir()
    memory.write_bytes(b"PAR1 no more")
    assert inspect_images([path], tmp_path / "cache")["error"].isna().all()


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


def test_broken_bytes_are_named() -> None:
    with pytest.raises(DataError, match=r"image: not an image"):
        read_rgb(b"no image at all")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for read in (read_rgb, open_rgb):
        with pytest.raises(DataError, match=r"pipe\.png: is not a regular file"):
            read(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="is a folder, not an image file"):
        read_rgb(tmp_path)


def test_no_program_is_started_for_postscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", refuse)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", "gs")
    drawn = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    postscript = tmp_path / "drawn.eps"
    postscript.write_bytes(drawn)
    with pytest.raises(DataError, match="PostScript is a program"):
        open_rgb(postscript)
    with pytest.raises(DataError, match="not an image of a supported format"):
        read_rgb(drawn)


def test_an_icon_is_not_decoded_before_its_size_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says 16 × 16 and holds a PNG of any size, which Pillow decodes when it opens the icon."""
    held = io.BytesIO()
    Image.new("L", (200, 200)).save(held, "PNG")
    header = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 8, len(held.getvalue()), 22)

    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", refuse)
    with pytest.raises(DataError, match="not an image of a supported format: JPEG, PNG"):
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
