"""Images sent to a server: a request body of limited size, base64, or a path within allowed folders.

Scripts in users' MLflow stores import this module: its public names have to stay.
"""

import base64
import binascii
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request

from ordinalclip.errors import DataError
from ordinalclip.images.decoding import DEFAULT_LIMITS, Limits

ROOTS = "ORDINALCLIP_IMAGE_ROOTS"  # allowed folders of images, separated as in PATH


class TooLarge(DataError):
    """A request body that exceeds the limit."""


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Reads the body of a request.

    Raises:
        TooLarge: If the Content-Length or the number of bytes read exceeds the limit; the rest is not read.
    """
    announced = request.headers.get("content-length", "")
    problem = f"larger than the limit of {max_bytes // 1_000_000} MB"
    if announced.isdecimal() and (len(announced) > 15 or int(announced) > max_bytes):
        raise TooLarge(problem)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise TooLarge(problem)
    return bytes(body)


def image_roots() -> list[Path]:
    """Returns the folders from which this server may read images; none by default."""
    return [Path(word).resolve() for word in os.environ.get(ROOTS, "").split(os.pathsep) if word]


def sent_image(text: object, roots: Sequence[Path], limits: Limits = DEFAULT_LIMITS) -> bytes | Path:
    """Interprets a string as the bytes of an image file, or as the path of one.

    Args:
        text: Base64, with or without the prefix `data:image/…;base64,`, or a path.
        roots: Folders in which paths are allowed.
        limits: Limits of images.

    Returns:
        The bytes, or the resolved path.

    Raises:
        DataError: If it is neither, the image is too large, or the path is not allowed.
    """
    if not isinstance(text, str):
        raise DataError(f"image: {text!r} is not a string; an image is sent as base64 or as a path")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    elif _is_path(text):
        return _allowed(text, roots)
    if len(text) > limits.max_bytes * 4 / 3 + 4:
        raise DataError(f"image: larger than the limit of {limits.max_bytes:,} bytes")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise DataError(f"image: {text[:40]!r} is neither base64 nor an allowed path") from None


def _is_path(text: str) -> bool:
    """Returns whether a string is a path: base64 has no dot, the name of an image file has one."""
    return len(text) < 4096 and "." in text


def _allowed(text: str, roots: Sequence[Path]) -> Path:
    # Missing files and files outside the roots give the same message, which discloses nothing about other folders.
    for root in roots:
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # name too long, NUL byte, loop of links
            path = (root / text).resolve()
            if path.is_relative_to(root) and path.is_file():
                return path
    raise DataError(f"image: {text!r} is in none of the {len(roots)} folders that this server may read (set {ROOTS})")
