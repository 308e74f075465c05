"""From a file, bytes, a Pillow image, an array or a tensor to an RGB image, within limits.

Every mode (transparency, 16 bits, float, EXIF orientation) is converted here. Broken images are reported by name; each
file of a data set is inspected once and remembered.
"""

import hashlib
import io
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageOps
from tqdm import tqdm

from ordinalclip.errors import DataError
from ordinalclip.system.files import write_atomically
from ordinalclip.system.terminal import progress

NUM_BETWEEN_SAVES = 10_000  # so that an interrupted look at a large set goes on from there

# What browsers send and cameras write, by Pillow's names. Of these it reads the size before it decodes anything; of
# others it does not (an icon holds whole PNGs of any size), and for PostScript it would start a program.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
FORMATS_TOLD = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000 or PPM"


def open_rgb(path: Path) -> Image.Image:
    """Open an image as upright 8-bit RGB.

    Transparent pixels lie over white. Grey images of 16 bits map 0…65535 to 0…255; integer images beyond that, and
    floats outside 0…255, are stretched from their least to their greatest value; floats within 0…1 map 1 to 255.
    Of several frames the first is taken.

    Args:
        path: the file.

    Returns:
        An image of mode "RGB", turned by its EXIF orientation.

    Raises:
        DataError: naming the path and what is wrong: missing, empty, not an image, truncated.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {_reading_problem(error)}") from None
    return decode_rgb(data, str(path))


def inspect_images(paths: Sequence[str | Path], cache_dir: Path) -> pd.DataFrame:
    """Decode every image once, and remember those that are sound by path, size and time of change.

    Args:
        paths: the files.
        cache_dir: folder that the findings are remembered in.

    Returns:
        A row per path, in order: `path` (str), `sha256` of the bytes (NA where unreadable), `error` (NA where sound).
    """
    names = [os.path.abspath(path) for path in paths]
    sizes, mtimes = _stat(names)
    found = pd.DataFrame({"path": names, "size": sizes, "mtime_ns": mtimes})
    memory = memory_file(names, cache_dir)
    known = _recall(memory)
    found = found.merge(known, how="left", on=["path", "size", "mtime_ns"])
    found["error"] = pd.Series(pd.NA, found.index, dtype="str")
    unknown = np.flatnonzero(found["sha256"].isna())
    with progress("looking at the images", len(unknown), " images") as bar:
        for start in range(0, len(unknown), NUM_BETWEEN_SAVES):
            rows = unknown[start : start + NUM_BETWEEN_SAVES]
            results = _inspect_all([names[row] for row in rows], bar)
            found.loc[rows, "sha256"] = [sha256 for sha256, _ in results]
            found.loc[rows, "error"] = [error for _, error in results]
            _remember(memory, found[found["sha256"].notna()][list(known.columns)])
    return pd.DataFrame({"path": [str(path) for path in paths], "sha256": found["sha256"], "error": found["error"]})


def _inspect_all(names: Sequence[str], bar: tqdm) -> list[tuple[str | None, str | None]]:
    results = []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        try:
            for result in pool.map(_inspect, names):
                results.append(result)
                bar.update()
        except BaseException:  # Ctrl-C must not wait for all that is queued
            pool.shutdown(cancel_futures=True)
            raise
    return results


def _inspect(name: str) -> tuple[str | None, str | None]:
    path = Path(name)
    try:
        data = path.read_bytes()
    except OSError as error:
        return None, _reading_problem(error)
    try:
        decode_rgb(data, name)
    except DataError as error:
        return None, str(error).removeprefix(f"{path}: ")
    return hashlib.sha256(data).hexdigest(), None


def decode_rgb(
    data: bytes, path: str, *, max_pixels: int | None = None, formats: tuple[str, ...] | None = None
) -> Image.Image:
    """`open_rgb` of a file's bytes.

    Args:
        data: the file's content.
        path: what it is called in messages.
        max_pixels: refuse images with more, before they are decoded; None: Pillow's own limit.
        formats: those of Pillow's that are tried; None: all.

    Raises:
        DataError: see `open_rgb`.
    """
    if not data:
        raise DataError(f"{path}: the file is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            if max_pixels is not None and image.width * image.height > max_pixels:
                told = f"{image.width:,} × {image.height:,} pixels are more than the {max_pixels:,} that are decoded"
                raise DataError(f"{path}: {told}")
            if image.format == "EPS":  # Pillow would have it run by Ghostscript
                raise DataError(f"{path}: PostScript is a program, not an image; save it as PNG")
            image.load()
            return to_rgb(ImageOps.exif_transpose(image))
    except DataError:
        raise
    except Image.DecompressionBombError:  # of so many that Pillow does not even open it
        raise DataError(f"{path}: too many pixels to be decoded") from None
    except Image.UnidentifiedImageError:
        which = "that Pillow can read" if formats is None else f"of a kind that is read: {', '.join(formats)}"
        raise DataError(f"{path}: not an image {which}") from None
    except Exception as error:  # decoders raise nearly anything on broken files: OSError, SyntaxError, struct.error, …
        raise DataError(f"{path}: broken image: {str(error) or type(error).__name__}") from None


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of an image of any mode; see `open_rgb`."""
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_bytes(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _to_bytes(grey: np.ndarray) -> np.ndarray:
    values = np.nan_to_num(grey.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = values.min(), values.max()
    tops: tuple[float, ...] = (1.0, 255.0) if grey.dtype.kind == "f" else (65535.0,)
    if low >= 0:
        low, high = next(((0.0, top) for top in tops if high <= top), (low, high))
    return np.round((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)


def _reading_problem(error: OSError) -> str:
    return "file not found" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror or error}"


def _stat(names: Sequence[str]) -> tuple[list[int], list[int]]:
    sizes, mtimes = [], []
    for name in names:
        try:
            status = os.stat(name)
        except OSError:
            sizes.append(-1)
            mtimes.append(-1)
        else:
            sizes.append(status.st_size)
            mtimes.append(status.st_mtime_ns)
    return sizes, mtimes


def memory_file(names: Iterable[str], cache_dir: Path) -> Path:
    """Where the findings about these files are remembered."""
    # One file for each folder of images: it stays small, and a table that grows finds what is known of its folder.
    folder = os.path.commonpath({os.path.dirname(name) for name in names})
    key = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return cache_dir / "inspected" / f"{Path(folder).name or 'root'}-{key}.parquet"


def _remember(memory: Path, sound: pd.DataFrame) -> None:
    # Read again: another process may have added its own meanwhile. A lost race costs no more than another look.
    merged = pd.concat([_recall(memory), sound]).drop_duplicates("path", keep="last")
    write_atomically(memory, lambda part: merged.to_parquet(part, index=False))


def _recall(memory: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(memory)
    except (OSError, ValueError):  # none yet, or damaged: look again
        empty = {"path": "str", "size": "int64", "mtime_ns": "int64", "sha256": "str"}
        return pd.DataFrame({column: pd.Series(dtype=dtype) for column, dtype in empty.items()})


def num_threads() -> int:
    """Threads that decode: as many as this process may use cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 16)


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
