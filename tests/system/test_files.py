from concurrent.futures import ThreadPoolExecutor

import pytest

from ordinalclip.system.files import write_atomically


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    write_atomically(path, lambda part: part.write_text("old"))

    def fail(part):
        part.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_many_writers_at_once(tmp_path):
    path = tmp_path / "file.txt"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda word: write_atomically(path, lambda part: part.write_text(word * 1000)), "abcdefgh"))
    assert len(set(path.read_text())) == 1
    assert list(tmp_path.iterdir()) == [path]
