from pathlib import Path

import pytest

from ordinalclip.datasets.table_files import read_lines, read_table, read_text, require_columns
from ordinalclip.errors import DataError


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines(tmp_path: Path, end: str) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbf" + end.join(["größe\u2028", "", "b", ""]).encode())
    assert read_lines(file) == ["größe\u2028", "", "b"]
    file.write_bytes(b"")
    assert read_lines(file) == []


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("größe".encode("latin-1"), "is not UTF-8 .*byte 2 is 0xf6"),
        ("größe".encode("utf-16"), "is not UTF-8 .*seems to be UTF-16"),
        ("abc".encode("utf-16-le"), "is not UTF-8 text .*zero byte at 1"),
    ],
)
def test_another_encoding(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(DataError, match=told) as caught:
        read_lines(tmp_path / "a.txt")
    assert "what to do" in str(caught.value)


def test_a_stated_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("größe".encode("latin-1"))
    assert read_text(tmp_path / "a.txt", encoding="latin-1") == "größe"
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_text(tmp_path / "none.txt")


def test_columns_and_separators(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("id|age|sex\n1|2|f\n")
    with pytest.raises(DataError, match=r"no column id and no age .*it has id\|age\|sex\n.*something else than tab"):
        require_columns(read_table(file), file, ["id", "age"])
    file.write_text("id;age\n1;2\n")
    require_columns(read_table(file), file, ["id", "age"])
    with pytest.raises(DataError, match=r"no column sex \(it needs id, sex\); it has id, age\n.*right file"):
        require_columns(read_table(file), file, ["id", "sex"])
