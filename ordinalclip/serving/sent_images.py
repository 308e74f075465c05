"""Images sent to a server: a request body within limits, base64, or a path in folders that the server allows."""

import base64
import binascii
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request

from ordinalclip.errors import DataError
from ordinalclip.images.decoding import DEFAULT_LIMITS, Limits

ROOTS = "ORDINALCLIP_IMAGE_ROOTS"  # folders that paths may lie in, separated as in PATH


class TooLarge(DataError):
    """A body of more bytes than are taken."""


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body of a request.

    Raises:
        TooLarge: as soon as the limit is passed, or when the request announces that it will be; the rest is not read.
    """
    announced = request.headers.get("content-length", "")
    problem = f"more than the {max_bytes // 1_000_000} MB that are taken"
    if announced.isdecimal() and (len(announced) > 15 or int(announced) > max_bytes):
        raise TooLarge(problem)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise TooLarge(problem)
    return bytes(body)


def image_roots() -> list[Path]:
    """The folders that this server may read images from; none by default."""
    return [Path(word).resolve() for word in os.environ.get(ROOTS, "").split(os.pathsep) if word]


def sent_image(text: object, roots: Sequence[Path], limits: Limits = DEFAULT_LIMITS) -> bytes | Path:
    """What a request means by a string: the bytes of an image file, or a path to one.

    Args:
        text: base64, with or without `data:image/…;base64,` before it, or the path of a file; nothing else.
        roots: folders that paths may lie in.
        limits: of what is taken.

    Raises:
        DataError: it is neither, or a path that must not be read.
    """
    if not isinstance(text, str):
        raise DataError(f"image: {text!r} is no text; an image is sent as base64 or as a path")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    elif _is_path(text):
        return _allowed(text, roots)
    if len(text) > limits.max_bytes * 4 / 3 + 4:
        raise DataError(f"image: more than the {limits.max_bytes:,} bytes that are read")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise DataError(f"image: {text[:40]!r} is neither base64 nor a path that may be read") from None


def _is_path(text: str) -> bool:
    """Base64 has no dot; a file that holds an image has one in its name."""
    return len(text) < 4096 and "." in text


def _allowed(text: str, roots: Sequence[Path]) -> Path:
    # One message for what is not there and for what must not be seen: whoever asks learns nothing of other folders.
    for root in roots:
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # too long a name, a NUL, a circle of links
            path = (root / text).resolve()
            if path.is_relative_to(root) and path.is_file():
                return path
    told = "it names none" if not roots else f"it names {len(roots)}"
    raise DataError(f"image: {text!r} is in no folder that this server may read ({ROOTS}; {told})")
