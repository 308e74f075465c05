from pathlib import Path

import pandas as pd
import pytest

from ordinalclip.datasets.table_files import places, read_lines, read_table, read_text, require_columns
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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_gives_the_encoding(tmp_path: Path, encoding: str, end: str) -> None:
    mark = "\ufeff" if encoding.endswith("e") else ""  # Python writes no mark where the byte order is given
    (tmp_path / "a.csv").write_bytes((mark + end.join(["path\trank", "größe/図.png\t007", ""])).encode(encoding))
    assert read_table(tmp_path / "a.csv").to_dict("list") == {"path": ["größe/図.png"], "rank": ["007"]}


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;", "sep=|"])
def test_a_first_line_may_give_the_separator(tmp_path: Path, line: str) -> None:
    separator = "|" if "|" in line else ";"
    file = tmp_path / "a.csv"
    file.write_bytes(f"\ufeff{line}\r\npath;note,a,b;rank\r\nx.png;;1\r\n".replace(";", separator).encode())
    assert list(read_table(file)) == ["path", "note,a,b", "rank"]
    assert places(file, [0]) == ["line 3"]


def test_places_are_lines_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('path,note\na.png,"two\nlines"\n\n  \nb.png,\nc.png,"x,y"\n')
    assert read_table(file)["path"].tolist() == ["a.png", "b.png", "c.png"]
    assert places(file, [0, 1, 2]) == ["line 2", "line 6", "line 7"]
    assert places(tmp_path / "a.mat", [0, 2]) == ["row 1", "row 3"]


def test_rows_with_more_cells_than_the_header_are_named(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("sep=,\npath,rank\na.png,1\n\nb,c.png,2\nd,e,f,3\n")
    with pytest.raises(DataError, match=r"its first line has 2 cells; line 5 has 3, line 6 has 4\n.*what to do"):
        read_table(file)


def test_the_index_of_a_parquet_file_is_read_if_it_is_the_path(tmp_path: Path) -> None:
    table = pd.DataFrame({"path": ["a.png", "b.png"], "rank": [0, 1]})
    table.set_index("path").to_parquet(tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").to_dict("list") == {"path": ["a.png", "b.png"], "rank": ["0", "1"]}
    table.set_index(pd.Index([5, 6], name="id")).to_parquet(tmp_path / "a.parquet")
    assert list(read_table(tmp_path / "a.parquet")) == ["path", "rank"]
