"""Reading a text file of a data set: decoded as it should be, or told how it is."""

import codecs
from pathlib import Path

from ordinalclip.errors import DataError

_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16", codecs.BOM_UTF8: "UTF-8"}


def read_lines(file: Path, *, encoding: str = "utf-8") -> list[str]:
    """The lines of a text file with LF, CRLF or CR line ends, without a byte order mark.

    Args:
        file: a text file; where it may be missing, ask `layout.find_root` for it first.
        encoding: that the data set was published in.

    Raises:
        DataError: the file cannot be read, is of another encoding, or is no text.
    """
    text = read_text(file, encoding=encoding).replace("\r\n", "\n").replace("\r", "\n")
    return text.removesuffix("\n").split("\n") if text else []  # str.splitlines would cut at U+2028 and others, too


def read_text(file: Path, *, encoding: str = "utf-8") -> str:
    """All of a text file, as `read_lines` takes it."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from None
    if encoding.lower() in ("utf-8", "utf8"):
        data = data.removeprefix(codecs.BOM_UTF8)
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    name = encoding.upper()
    remedy = f"  what to do: save it as {name}, or copy it again"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        found = f"it seems to be {marked}" if marked else f"byte {error.start} is 0x{data[error.start]:02x}"
        raise DataError(
            f"{file}: is not {encoding.upper()} ({error.reason} at byte {error.start}; {found})\n{remedy}"
        ) from None
    if "\0" in text:
        found = f"it seems to be {marked or 'UTF-16, or no text'}"
        raise DataError(
            f"{file}: is not {encoding.upper()} text (a zero byte at {text.index(chr(0))}; {found})\n{remedy}"
        )
    return text
