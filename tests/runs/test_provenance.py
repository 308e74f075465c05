"""The changes of a checkout are kept so that `git apply` makes of the commit what ran, byte for byte."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordinalclip.runs import provenance
from ordinalclip.runs.provenance import code_diff, code_version

COMMITTED = {
    "conf/first.yaml": b"a: 1\n",
    "ordinalclip/__init__.py": b"",
    "ordinalclip/kept.py": b"x = 1\n",
    "ordinalclip/last.py": b"y = 1\n\n\n\nz = 1\n",  # whose change is followed by empty lines
}
EDITED = {
    "conf/first.yaml": b"a: 2\n",
    "conf/of my own.yaml": b"b: 1",  # without a last newline
    "conf/empty.yaml": b"",
    "conf/wälder.yaml": b"name: W\xe4lder\n",
    "ordinalclip/last.py": b"y = '\xe9'\n\n\n\nz = 1\n",
    "ordinalclip/new.bin": b"\0\1\2",
}


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout of another package of our name, in whose place it is."""
    folder = tmp_path / "checkout"
    write(folder, COMMITTED)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "all")
    git(folder, "config", "diff.noprefix", "true")
    monkeypatch.setattr(provenance, "PACKAGE", folder / "ordinalclip")
    for known in (code_version, code_diff):
        known.cache_clear()
    yield folder
    for known in (code_version, code_diff):
        known.cache_clear()


def test_changes_of_any_encoding_can_be_applied(checkout: Path, tmp_path: Path) -> None:
    write(checkout, EDITED)
    made = code_version()
    assert made["dirty"]
    assert made["changed"][:2] == [" M conf/first.yaml", " M ordinalclip/last.py"]
    assert len(made["changed"]) == len(EDITED)
    (tmp_path / "code.diff").write_bytes(code_diff())
    again = tmp_path / "again"
    git(tmp_path, "clone", "-q", str(checkout), str(again))
    git(again, "apply", "--check", str(tmp_path / "code.diff"))
    git(again, "apply", str(tmp_path / "code.diff"))
    for name, content in (COMMITTED | EDITED).items():
        assert (again / name).read_bytes() == content, name


def test_nothing_changed_is_nothing(checkout: Path) -> None:
    assert not code_version()["dirty"]
    assert code_version()["changed"] == []
    assert code_diff() == b""
