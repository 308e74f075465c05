"""An image file as the body of a request, within limits that hold while it arrives."""

from starlette.requests import Request

from ordinalclip.errors import DataError


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
