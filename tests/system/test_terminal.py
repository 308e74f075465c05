import io
import sys

import pytest

from ordinalclip.system import terminal as module
from ordinalclip.system.terminal import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, file: io.StringIO, *, delay: float) -> str:
    monkeypatch.setattr(sys, "stderr", file)
    with progress("looking", 3, " images", delay=delay, file=file, mininterval=0) as bar:
        for _ in range(3):
            bar.update()
    return file.getvalue()


def test_a_file_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_EVERY_S", 0.0)
    lines = shown(monkeypatch, io.StringIO(), delay=0).split("\n")
    assert lines[-1] == ""
    assert len(lines) > 2
    assert all(line.startswith("looking: ") and "of 3 images" in line and "images/s" in line for line in lines[:-1])
    assert "\r" not in "".join(lines)


def test_a_file_gets_nothing_of_what_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, io.StringIO(), delay=0) == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, Terminal(), delay=0)
    assert "\r" in text
    assert "3/3" in text
