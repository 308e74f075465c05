import itertools
import logging
import threading
import time
from pathlib import Path

import pytest

from ordinalclip.runs.run import Run
from ordinalclip.tracking.mirror import Background


class Recorder:
    """Copies nothing, but remembers what it was asked to copy; fails or waits as it is told."""

    def __init__(self) -> None:
        self.copied: list[str] = []
        self.times: list[float] = []  # of each try
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, run: Run, waited_for: bool) -> None:
        self.times.append(time.monotonic())
        self.gate.wait(600)
        if self.error is not None:
            raise self.error
        self.copied.append(run.directory.name)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def background(recorder: Recorder, *, every_s: float = 0.05, patience_s: float = 5.0) -> Background:
    return Background(recorder, "a store", every_s, patience_s)


def until(what: object) -> None:
    assert callable(what)
    end = time.monotonic() + 300
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.01)
    raise TimeoutError


A, B = Run(Path("runs/a")), Run(Path("runs/b"))


def test_the_end_of_a_run_waits_until_it_is_copied(recorder: Recorder) -> None:
    background(recorder).finish(A)
    assert recorder.copied == ["a"]


def test_several_running_runs_all_have_their_turn(recorder: Recorder) -> None:
    thread = background(recorder)
    for _ in range(3):
        seen = len(recorder.copied)
        thread.ask(A)
        thread.ask(B)
        until(lambda seen=seen: {"a", "b"} <= set(recorder.copied[seen:]))


def test_nobody_waits_for_a_store_that_is_slow(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    recorder.gate.clear()
    thread = background(recorder, patience_s=0.2)
    thread.ask(A)  # returns, though the copy has not
    until(lambda: recorder.times)
    with caplog.at_level(logging.WARNING):
        thread.finish(A)
        thread.finish(B)
    assert recorder.copied == []
    assert caplog.text.count("analysis.sync") == 1
    recorder.gate.set()
    until(lambda: {"a", "b"} <= set(recorder.copied))  # the process goes on: it is made up for


def test_an_outage_is_told_once_and_made_up_for(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    recorder.error = ConnectionError("nobody there")
    thread = background(recorder, every_s=0.01)
    with caplog.at_level(logging.INFO):
        thread.finish(A)
        thread.finish(B)
        assert recorder.copied == []
        recorder.error = None
        until(lambda: {"a", "b"} <= set(recorder.copied))
        until(lambda: "answers again" in caplog.text)
    assert caplog.text.count("nobody there") == 1


def test_a_store_that_is_away_is_asked_ever_less_often(recorder: Recorder) -> None:
    recorder.error = ConnectionError("nobody there")
    thread = background(recorder, every_s=0.05)
    thread.ask(A)
    until(lambda: len(recorder.times) >= 5)
    pauses = [after - before for before, after in itertools.pairwise(recorder.times[:5])]
    assert all(pause >= 0.05 * 2**failures for failures, pause in enumerate(pauses, start=1))  # slower is no fault


def test_a_run_that_cannot_be_copied_keeps_no_other_from_it(recorder: Recorder) -> None:
    class Picky(Recorder):
        def __call__(self, run: Run, waited_for: bool) -> None:
            if run is A:
                raise ValueError("not this one")
            super().__call__(run, waited_for)

    picky = Picky()
    thread = background(picky, every_s=0.01)
    thread.ask(A)
    thread.ask(B)
    until(lambda: picky.copied.count("b") >= 1)
