"""An image file as the body of a request, within limits that hold while it arrives."""

import io

from PIL import Image
from starlette.requests import Request

from ordinalclip.errors import DataError

# What browsers send and cameras write. Pillow knows more; for EPS, say, it would start a PostScript interpreter.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
TOLD = "JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF, JPEG 2000 or PPM"


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


def check_format(data: bytes) -> None:
    """Raises DataError where the bytes of a file are no image of `FORMATS`; decodes no pixels."""
    if not data:
        raise DataError("the file is empty (0 bytes)")
    try:
        Image.open(io.BytesIO(data), formats=FORMATS).close()
    except Image.DecompressionBombError:  # of so many pixels that Pillow does not even open it
        raise DataError("too many pixels to be decoded") from None
    except Image.UnidentifiedImageError:
        raise DataError(f"no image that can be read: {TOLD}") from None
    except Exception as error:  # decoders raise nearly anything on broken files
        raise DataError(f"broken image: {str(error) or type(error).__name__}") from None
