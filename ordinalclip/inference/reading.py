"""Whatever an image comes as, a file, bytes, a Pillow image, an array, a tensor, made an RGB image, within limits."""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ordinalclip.datasets.images import decode_rgb, to_rgb
from ordinalclip.errors import DataError


@dataclass(frozen=True)
class Limits:
    """What is still decoded: a small file may unpack to more than a machine can hold.

    Attributes:
        max_bytes: of a file.
        max_pixels: of the image in it, width times height.
    """

    max_bytes: int = 100_000_000
    max_pixels: int = 80_000_000


DEFAULT_LIMITS = Limits()
# What browsers send and cameras write, by Pillow's names. Of these it reads the size before it decodes anything; of
# others it does not (an icon holds whole PNGs of any size), and for PostScript it would start a program.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
FORMATS_TOLD = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000 or PPM"


def read_rgb(image: Any, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """An upright 8-bit RGB image.

    Args:
        image: the path or the bytes of a file of one of `FORMATS`; a Pillow image; an array or tensor [H, W] or
            [H, W, 3], or a tensor [3, H, W], of uint8 in 0…255 or floats in 0…1.
        limits: what files may be.

    Raises:
        DataError: naming the file, or the shape, and what is wrong with it.
        TypeError: for anything else.
    """
    if isinstance(image, str | Path):
        return _of_file(Path(image), limits)
    if isinstance(image, bytes | bytearray | memoryview):
        return _decoded(_checked(bytes(image), "image", limits), "image", limits)
    if isinstance(image, Image.Image):
        return to_rgb(ImageOps.exif_transpose(image))
    if isinstance(image, np.ndarray) or hasattr(image, "detach"):
        return Image.fromarray(_pixels(image))
    raise TypeError(f"an image is a path, bytes, a Pillow image, an array or a tensor, not {type(image).__name__}")


def images_in(images: Any) -> Iterator[Any]:
    """One image after another of whatever was given: a single one, a batch as an array or tensor, or any iterable."""
    if isinstance(images, str | Path | bytes | bytearray | memoryview | Image.Image):
        yield images
    elif isinstance(images, np.ndarray) or hasattr(images, "detach"):
        is_many = images.ndim == 4 or (isinstance(images, np.ndarray) and images.dtype.kind in "OU")  # names, or images
        yield from images if is_many else (images,)
    elif isinstance(images, Iterable):
        yield from images
    else:
        raise TypeError(f"images are paths, Pillow images, arrays or tensors, or many of them, not {type(images)}")


def _of_file(path: Path, limits: Limits) -> Image.Image:
    try:
        if "\0" in str(path):  # Python raises something else than for other names that no file has
            raise FileNotFoundError
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise DataError(f"{path}: is a folder; name the images in it, or use python -m ordinalclip.predict")
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device may never end
            raise DataError(f"{path}: is no file")
        if status.st_size > limits.max_bytes:
            raise DataError(f"{path}: {status.st_size:,} bytes are more than the {limits.max_bytes:,} that are read")
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: file not found") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    return _decoded(data, str(path), limits)


def _decoded(data: bytes, name: str, limits: Limits) -> Image.Image:
    return decode_rgb(data, name, max_pixels=limits.max_pixels, formats=FORMATS)


def _checked(data: bytes, name: str, limits: Limits) -> bytes:
    if len(data) > limits.max_bytes:
        raise DataError(f"{name}: {len(data):,} bytes are more than the {limits.max_bytes:,} that are read")
    return data


def _pixels(image: Any) -> np.ndarray:
    """Bytes [H, W, 3] of an array or tensor."""
    is_tensor = hasattr(image, "detach")
    if is_tensor and image.is_floating_point():
        image = image.float()  # NumPy has no bfloat16
    array = np.asarray(image.detach().cpu()) if is_tensor else image
    if is_tensor and array.ndim == 3 and array.shape[0] in (1, 3):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=-1)
    if array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
        allowed = "[H, W], [H, W, 3]" + (" or [3, H, W]" if is_tensor else "")
        raise DataError(f"an image of shape {list(image.shape)}: expected {allowed}")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f":
        raise DataError(f"an image of {array.dtype}: expected uint8 in 0…255, or floats in 0…1")
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
        raise DataError(
            f"an image of floats from {array.min():.4g} to {array.max():.4g}: expected 0…1, not normalised before"
        )
    return np.round(array * 255).astype(np.uint8)
