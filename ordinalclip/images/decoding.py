"""What an image is: the files, bytes, arrays and tensors that are accepted, and the RGB image that each becomes.

Training, prediction, serving and exports all decode here. `open_rgb` reads a data set's files: any format that Pillow
reads, of any size. `read_rgb` reads images of unknown origin: the formats and sizes that `Limits` allows. Both return
upright 8-bit RGB:

- The image is rotated by its EXIF Orientation. All other EXIF tags are ignored; they may be malformed. Of several
  frames, the first is taken.
- Transparent pixels are composited over white.
- 16-bit grayscale maps 0…65535 to 0…255. Floats within 0…1 map 1 to 255; floats within 0…255 are rounded. Integers
  and floats outside these ranges are stretched from their minimum to their maximum.
"""

import hashlib
import io
import os
import re
import stat
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from PIL import Image

from ordinalclip.errors import DataError
from ordinalclip.system.files import write_atomically
from ordinalclip.system.interruption import check_stop
from ordinalclip.system.terminal import progress

# Pillow's names of the formats that browsers send and cameras write. Pillow knows their size before it decodes them. It
# does not for others (an icon holds whole PNGs of any size), and it would start Ghostscript for PostScript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
# Endings of these formats' files. Folders are searched for them, by data sets and by prediction alike.
ENDINGS = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".jfif", ".jpe", ".gif", ".apng", ".avif"),
    *(".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c", ".ppm", ".pgm", ".pbm", ".pnm"),
)
FORMAT_NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000 or PPM"

_IMAGES_PER_SAVE = 10_000  # an interrupted inspection of a large data set resumes from its last save

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Limits:
    """Which files are decoded. A small file may unpack to more than the memory of a machine.

    Attributes:
        max_bytes: size of a file.
        max_pixels: width times height of an image.
        formats: Pillow's names of the formats; None accepts all but PostScript.
    """

    max_bytes: int = 100_000_000
    max_pixels: int = 80_000_000
    formats: tuple[str, ...] | None = FORMATS


DEFAULT_LIMITS = Limits()
NO_LIMITS = Limits(max_bytes=sys.maxsize, max_pixels=sys.maxsize, formats=None)  # Pillow's own limit on pixels remains


def open_rgb(path: Path) -> Image.Image:
    """Returns the upright 8-bit RGB image of a data set's file.

    Raises:
        DataError: the file is missing, empty, not an image, or truncated. The message names the path.
    """
    return _decode(_read_file(path, NO_LIMITS), str(path), NO_LIMITS)


def read_rgb(image: Any, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """Returns the upright 8-bit RGB image of a file, bytes, a Pillow image, an array or a tensor.

    Args:
        image: path or bytes of a file; a Pillow image; an array or tensor [H, W] or [H, W, 3], or a tensor [3, H, W],
            of uint8 in 0…255 or floats in 0…1.
        limits: which files are decoded.

    Raises:
        DataError: the file, or the array's shape or values, cannot be used. The message names it.
        TypeError: `image` is of another type.
    """
    if isinstance(image, str | Path):
        return _decode(_read_file(Path(image), limits), str(Path(image)), limits)
    if isinstance(image, bytes | bytearray | memoryview):
        _check_size(memoryview(image).nbytes, "image", limits)
        return _decode(bytes(image), "image", limits)
    if isinstance(image, Image.Image):
        return _upright_rgb(image)
    if isinstance(image, np.ndarray) or hasattr(image, "detach"):
        return Image.fromarray(_array_to_bytes(image))
    raise TypeError(f"an image is a path, bytes, a Pillow image, an array or a tensor, not {type(image).__name__}")


def upright(image: Image.Image) -> Image.Image:
    """Returns an image rotated by its EXIF Orientation; the image itself if there is nothing to do."""
    image.load()
    methods = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
    methods |= {6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
    method = methods.get(orientation(image))
    return image if method is None else image.transpose(Image.Transpose[method])


def orientation(image: Image.Image) -> Any:
    """Returns the EXIF Orientation, 1…8 if it is valid, also if other tags are malformed; None if there is none."""
    try:
        found = image.getexif().get(0x0112)
    except Exception:  # Pillow reads all tags, and raises nearly anything
        found = None
    exif = image.info.get("exif")
    if found is None and isinstance(exif, bytes):  # Pillow stops at a truncated tag; look at this one alone
        exif = re.sub(rb"^(Exif\0\0)+", b"", exif)
        order = {b"II": "<", b"MM": ">"}.get(exif[:2], "<")
        try:
            (start,) = struct.unpack_from(f"{order}L", exif, 4)
            (number,) = struct.unpack_from(f"{order}H", exif, start)
            for place in range(start + 2, start + 2 + 12 * number, 12):
                tag, kind, count = struct.unpack_from(f"{order}HHL", exif, place)
                if tag == 0x0112 and kind in (3, 4) and count == 1:
                    return struct.unpack_from(f"{order}{'H' if kind == 3 else 'L'}", exif, place + 8)[0]
        except struct.error:  # the block ends here
            pass
    return found


def images_in(images: Any) -> Iterator[Any]:
    """Yields the images of a single image, a batch as an array or tensor, or any iterable."""
    if isinstance(images, str | Path | bytes | bytearray | memoryview | Image.Image):
        yield images
    elif isinstance(images, np.ndarray) or hasattr(images, "detach"):
        is_batch = images.ndim == 4 or (
            isinstance(images, np.ndarray) and images.dtype.kind in "OU"
        )  # objects or paths
        yield from images if is_batch else (images,)
    elif isinstance(images, Iterable):
        yield from images
    else:
        raise TypeError(f"images are paths, Pillow images, arrays or tensors, or many of them, not {type(images)}")


def inspect_images(paths: Sequence[str | Path], cache_dir: Path) -> pd.DataFrame:
    """Decodes every image once and returns its hash or its error.

    Intact images are cached by path, size and modification time. Broken ones are decoded again at each call.

    Args:
        paths: the files.
        cache_dir: folder of the cache.

    Returns:
        A row per path, in order: `path` (str), `sha256` of the bytes (NA if broken), `error` (NA if intact).
    """
    names = [os.path.abspath(path) for path in paths]
    rows_now = [(name, *_size_and_mtime(name)) for name in names]
    found = pd.DataFrame(rows_now, columns=["path", "size", "mtime_ns"])
    cache_file = inspection_cache_file(names, cache_dir)
    cached = _read_inspected(cache_file)
    found = found.merge(cached, how="left", on=["path", "size", "mtime_ns"])
    found["error"] = pd.Series(pd.NA, found.index, dtype="str")
    unknown = np.flatnonzero(found["sha256"].isna())
    with progress("looking at the images", len(unknown), " images") as bar:
        for start in range(0, len(unknown), _IMAGES_PER_SAVE):
            rows = unknown[start : start + _IMAGES_PER_SAVE]
            results = []
            for result in map_threads(_inspect, [names[row] for row in rows]):
                results.append(result)
                bar.update()
            found.loc[rows, "sha256"] = [sha256 for sha256, _ in results]
            found.loc[rows, "error"] = [error for _, error in results]
            _write_inspected(cache_file, found[found["sha256"].notna()][list(cached.columns)])
    return pd.DataFrame({"path": [str(path) for path in paths], "sha256": found["sha256"], "error": found["error"]})


def inspection_cache_file(names: Iterable[str], cache_dir: Path) -> Path:
    """Returns the file that caches the inspection of these images, one per folder of images."""
    folder = os.path.commonpath({os.path.dirname(name) for name in names})
    key = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return cache_dir / "inspected" / f"{Path(folder).name or 'root'}-{key}.parquet"


def num_threads() -> int:
    """Returns the number of threads that decode images: the cores that this process may use, at most 16."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 16)


def map_threads(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Yields `function(item)` for each item, in order, computed by `num_threads` threads.

    Queued items are cancelled if the function raises, the caller stops iterating, or a signal asks the run to stop.
    """
    with ThreadPoolExecutor(num_threads()) as pool:
        try:
            for result in pool.map(function, items):
                check_stop()
                yield result
        finally:
            pool.shutdown(cancel_futures=True)


def _read_file(path: Path, limits: Limits) -> bytes:
    try:
        if "\0" in str(path):  # Python raises ValueError
            raise FileNotFoundError
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise DataError(f"{path}: is a folder, not an image file")
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device may never end
            raise DataError(f"{path}: is not a regular file")
        _check_size(status.st_size, str(path), limits)
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: file not found") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _check_size(num_bytes: int, name: str, limits: Limits) -> None:
    if num_bytes > limits.max_bytes:
        raise DataError(f"{name}: {num_bytes:,} bytes are more than the limit of {limits.max_bytes:,}")


def _decode(data: bytes, name: str, limits: Limits) -> Image.Image:
    if not data:
        raise DataError(f"{name}: the file is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=limits.formats) as image:
            if image.width * image.height > limits.max_pixels:
                size = f"{image.width:,} × {image.height:,} pixels"
                raise DataError(f"{name}: {size} are more than the limit of {limits.max_pixels:,}")
            if image.format == "EPS":  # Pillow would run Ghostscript
                raise DataError(f"{name}: PostScript is a program, not an image; save it as PNG")
            image.load()
            return _upright_rgb(image)
    except DataError:
        raise
    except Image.DecompressionBombError:  # beyond Pillow's own limit, raised when the file is opened
        raise DataError(f"{name}: too many pixels to be decoded") from None
    except Image.UnidentifiedImageError:
        which = (
            "that Pillow can read" if limits.formats is None else f"of a supported format: {', '.join(limits.formats)}"
        )
        raise DataError(f"{name}: not an image {which}") from None
    except Exception as error:  # decoders raise nearly anything on broken files: OSError, SyntaxError, struct.error, …
        raise DataError(f"{name}: broken image: {str(error) or type(error).__name__}") from None


def _upright_rgb(image: Image.Image) -> Image.Image:
    image = upright(image)
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_gray_to_bytes(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _gray_to_bytes(gray: np.ndarray) -> np.ndarray:
    """Maps wide integers or floats [H, W] to uint8; see the module's docstring."""
    values = np.nan_to_num(gray.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = values.min(), values.max()
    maxima: tuple[float, ...] = (1.0, 255.0) if gray.dtype.kind == "f" else (65535.0,)
    if low >= 0:
        low, high = next(((0.0, maximum) for maximum in maxima if high <= maximum), (low, high))
    return np.round((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)


def _array_to_bytes(image: Any) -> np.ndarray:
    """Returns the uint8 pixels [H, W, 3] of an array or tensor."""
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
        low, high = array.min(), array.max()
        raise DataError(f"an image of floats from {low:.4g} to {high:.4g}: expected 0…1, not yet normalized")
    return np.round(array * 255).astype(np.uint8)


def _inspect(name: str) -> tuple[str | None, str | None]:
    """Returns the SHA-256 of an image file and None, or None and the error."""
    try:
        data = _read_file(Path(name), NO_LIMITS)
        _decode(data, name, NO_LIMITS)
    except DataError as error:
        return None, str(error).removeprefix(f"{name}: ")
    return hashlib.sha256(data).hexdigest(), None


def _size_and_mtime(name: str) -> tuple[int, int]:
    try:
        status = os.stat(name)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _read_inspected(cache_file: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(cache_file)
    except (OSError, ValueError):  # missing or damaged
        empty = {"path": "str", "size": "int64", "mtime_ns": "int64", "sha256": "str"}
        return pd.DataFrame({column: pd.Series(dtype=dtype) for column, dtype in empty.items()})


def _write_inspected(cache_file: Path, intact: pd.DataFrame) -> None:
    # Read again: another process may have added rows. If two write at once, some images are only inspected again.
    merged = pd.concat([_read_inspected(cache_file), intact]).drop_duplicates("path", keep="last")
    write_atomically(cache_file, lambda part: merged.to_parquet(part, index=False))
