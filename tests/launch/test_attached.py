"""`hydra/launcher=slurm`: what is waited for, and what of it is shown."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobStatus

from launch import attached, mirroring
from launch.job_array import Queued
from launch.submit import ADDED
from launch.submit import run as submit
from launch.sweep import plan
from launch.typed import read_sweep
from ordinalclip.lease import Busy
from ordinalclip.prepare import Job
from ordinalclip.runs import Run
from tests.launch.fake_slurm import FakeSlurm


def test_what_slurm_has_already_is_waited_for_as_is_what_is_queued(
    slurm: FakeSlurm, small: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    submit(["-m", *small, "seed=0,1,2"])
    slurm.set("17_0", "CANCELLED")
    typed = read_sweep(["-m", *small, "seed=0,1,2,3"], "x", ADDED)
    jobs = plan(typed.compose, typed.product)
    jobs[0].run.claim()  # a process outside of SLURM has taken it up
    watched: list[str] = []

    def watch(queued: Sequence[Queued], begun: Callable[[Job], None]) -> Iterator[tuple[Queued, Exception | None]]:
        for one in queued:
            watched.append(one.slurm_id)
            yield one, None

    monkeypatch.setattr(attached, "watch", watch)
    with caplog.at_level(logging.INFO):
        results = attached.launch(jobs, [], typed.launcher, [])
    jobs[0].run.release("interrupted")
    assert watched == ["17_1", "17_2", "18"]
    assert "waiting for 2 that SLURM has already: 17" in caplog.text
    assert "queued: 1 job as 18" in caplog.text
    assert [one.status for one in results] == [JobStatus.FAILED, *[JobStatus.COMPLETED] * 3]
    assert isinstance(results[0]._return_value, Busy)


class Recorder:
    """A mirror that remembers what was shown for the last time."""

    def __init__(self) -> None:
        self.final: list[Run] = []

    def sync(self, run: Run, *, final: bool) -> None:
        if final:
            self.final.append(run)


def test_a_run_whose_job_ended_before_it_began_keeps_no_other_from_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, cfg = Recorder(), dict[str, Any]()
    monkeypatch.setattr(mirroring, "mirror_of", lambda _: recorder)
    never, begun = Run(tmp_path / "a"), Run(tmp_path / "b")
    with mirroring.Mirroring() as shows:
        shows.end(never)
        shows.begin(begun, cfg)
        shows.end(begun)
    assert recorder.final == [begun]
