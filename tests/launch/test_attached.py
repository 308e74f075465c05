"""`hydra/launcher=slurm`: what is waited for, and what of it is shown."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from launch import attached
from launch import stores as mirroring
from launch import sweep as sweeping
from launch.composition import read_sweep
from launch.slurm_task import Task
from launch.stores import check_store, without_sqlite
from launch.submission import QueuedJob
from launch.submit import DEFAULT_OVERRIDES
from launch.submit import run as submit
from ordinalclip.errors import Busy, ConfigError
from ordinalclip.execution.job import mirror_of
from ordinalclip.preparation.prepare import Job, plan, prepare
from ordinalclip.runs.run import Run
from ordinalclip.tracking import NoMirror
from tests.launch.fake_slurm import FakeSlurm
from tests.launch.test_submit import finish


@pytest.mark.slow
def test_what_slurm_has_already_is_waited_for_as_is_what_is_queued(
    slurm: FakeSlurm, small: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    submit(["-m", *small, "seed=0,1,2"])
    slurm.set("17_0", "CANCELLED")
    typed = read_sweep(["-m", *small, "seed=0,1,2,3"], "x", DEFAULT_OVERRIDES)
    jobs = plan(typed.compose, typed.product)
    jobs[0].run.claim()  # a process outside of SLURM has taken it up
    watched: list[str] = []

    def watch(
        queued: Sequence[QueuedJob], begun: Callable[[Job], None]
    ) -> Iterator[tuple[QueuedJob, Exception | None]]:
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


@pytest.mark.slow
def test_what_a_job_leaves_to_this_process_its_node_does_not_stumble_over(
    small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = read_sweep(["-m", *small, "seed=0,1", "register=true", "tracking.experiment=mine"], "x")
    jobs = plan(typed.compose, typed.product)
    check_store(jobs, typed.overrides, mirrored=True)  # left to this process, it is no mistake
    job = without_sqlite(jobs[0])
    assert prepare(job.cfg).run.directory == jobs[0].run.directory
    assert isinstance(mirror_of(job.cfg), NoMirror)
    assert jobs[0].cfg["register"]  # by this process, once the run is shown
    with pytest.raises(ConfigError, match="ruin"):
        check_store(jobs, ["tracking=local"], mirrored=True)
    served = read_sweep([*small, "register=true", "tracking=server", "tracking.uri=http://127.0.0.1:9"], "x")
    (job,) = plan(served.compose, served.product)
    assert without_sqlite(job) is job
    registered: list[Job] = []
    monkeypatch.setattr("ordinalclip.cli.command.log_to_terminal", lambda: None)
    monkeypatch.setattr("ordinalclip.execution.job.run_job", lambda job, in_sweep: None)
    monkeypatch.setattr("ordinalclip.execution.job.register_finished", registered.extend)
    assert Task()(job.cfg, job.overrides) == "finished"
    assert [one.run.run_id for one in registered] == [job.run.run_id]  # by the node: nobody may be left here


class NoJobs(Launcher):
    """Runs nothing, elsewhere."""

    def setup(self, **settings: object) -> None:
        pass

    def launch(self, job_overrides: object, initial_job_idx: int) -> list[JobReturn]:
        raise AssertionError

    def check(self, jobs: object, arguments: object) -> None:
        pass

    def launch_jobs(self, jobs: object, config_dirs: object, arguments: object) -> list[JobReturn]:
        raise AssertionError


def test_typed_again_it_shows_what_ended_while_nobody_was_there(
    tmp_path: Path, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = read_sweep(["-m", *small, "seed=0,1", "tracking=offline"], "x")
    for job in plan(typed.compose, typed.product):
        finish(job.run.directory)
    shown: list[Job] = []
    monkeypatch.setattr(sweeping, "copy_finished", shown.extend)
    monkeypatch.setattr(sweeping, "print_sweep", lambda jobs: None)
    assert sweeping.sweep(typed.compose, NoJobs(), typed.product, typed.overrides) == []
    assert [job.overrides[-2] for job in shown] == ["seed=0", "seed=1"]


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
