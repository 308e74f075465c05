import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ordinalclip.system.files import LockTimeout, file_lock, write_atomically


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


_HOLD = """
import sys, time
from pathlib import Path
from ordinalclip.system.files import file_lock
with file_lock(Path(sys.argv[1]), 0):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_one_at_a_time(kind: str, tmp_path: Path) -> None:
    path = tmp_path if kind == "folder" else tmp_path / "lock"
    with file_lock(path, 0), pytest.raises(LockTimeout, match="another process"), file_lock(path, 0.05):
        pass
    with file_lock(path, 0):
        pass


def test_an_error_gives_it_back(tmp_path: Path) -> None:
    with pytest.raises(KeyError), file_lock(tmp_path, 0):
        raise KeyError
    with file_lock(tmp_path, 0):
        pass


def test_it_dies_with_its_process(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(lock)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockTimeout), file_lock(lock, 0):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with file_lock(lock, 0):
            pass
