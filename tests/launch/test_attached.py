"""`hydra/launcher=slurm`: which jobs are waited for and mirrored, and how their end is detected."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from launch import attached
from launch import stores as mirroring
from launch import sweep as sweeping
from launch.attached import watch
from launch.composition import read_sweep
from launch.slurm_outcome import JobFailed, JobOutcome
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


Answer = dict[str, JobOutcome] | None


class FakeJob:
    """As much of a job as is looked at."""

    def __init__(self, run: Run) -> None:
        self.run = run


@pytest.fixture
def queued(tmp_path: Path) -> QueuedJob:
    run = Run(tmp_path / "gauge-tiny-rank-s0-0123456789")
    run.directory.mkdir()
    return QueuedJob(cast(Job, FakeJob(run)), "7_1", tmp_path / "7_1_0_log.err")


def write(run: Run, status: str, **facts: Any) -> None:
    (run.directory / "status.json").write_text(json.dumps({"status": status, "updated": f"now {facts}"} | facts))


Look = Callable[[], Answer]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what SLURM says at each look, the last of it for ever."""

    def answer(*looks: Answer | Look, accounts: Answer = None) -> None:
        said = list(looks)

        def ask(jobs: object) -> Answer:
            look = said.pop(0) if len(said) > 1 else said[0]
            return look() if callable(look) else look

        monkeypatch.setattr(attached, "query_queue", ask)
        monkeypatch.setattr(attached, "query_accounting", lambda jobs: accounts)
        monkeypatch.setattr(attached, "_POLL_S", 0.0)
        monkeypatch.setattr(attached, "_GRACE_S", 0.05)
        monkeypatch.setattr(attached, "_WARN_AFTER_S", 0.05)

    return answer


def end(queued: QueuedJob) -> tuple[Exception | None, list[Job]]:
    begun: list[Job] = []
    ((one, error),) = watch([queued], begun.append)
    assert one is queued
    return error, begun


def test_a_finished_run_is_the_end_whatever_slurm_says(queued: QueuedJob, answers: Callable[..., None]) -> None:
    def finish() -> Answer:
        write(queued.job.run, "finished")
        return {"7_1": JobOutcome("RUNNING")}

    answers({"7_1": JobOutcome("PENDING")}, finish)
    assert end(queued) == (None, [queued.job])


def test_what_an_earlier_attempt_has_written_is_not_this_jobs(queued: QueuedJob, answers: Callable[..., None]) -> None:
    write(queued.job.run, "failed", error="long ago")

    def finish() -> Answer:
        write(queued.job.run, "finished")
        return {"7_1": JobOutcome("RUNNING")}

    answers({"7_1": JobOutcome("RUNNING")}, {"7_1": JobOutcome("RUNNING")}, finish)
    assert end(queued)[0] is None


def test_a_failed_run_says_why_itself(queued: QueuedJob, answers: Callable[..., None]) -> None:
    def fail() -> Answer:
        (queued.job.run.directory / "run.log").touch()
        write(queued.job.run, "failed", error="ValueError: no")
        return {"7_1": JobOutcome("FAILED", "1:0", "n1")}

    answers(fail)
    error, _ = end(queued)
    assert isinstance(error, JobFailed)
    assert (str(error), error.log) == ("ValueError: no", queued.job.run.directory / "run.log")


def test_a_requeued_job_is_waited_for_and_its_accounts_name_the_end(
    queued: QueuedJob, answers: Callable[..., None]
) -> None:
    requeued, back = {"7_1": JobOutcome("PENDING")}, {"7_1": JobOutcome("RUNNING")}
    over = {"7_1": JobOutcome("FAILED", "1:0")}
    answers(back, requeued, back, over, accounts={"7_1": JobOutcome("OUT_OF_MEMORY", "0:125", "n2")})
    error, begun = end(queued)
    assert str(error) == "ran out of memory (cluster.mem_gb) on n2"
    assert isinstance(error, JobFailed)
    assert error.log == queued.stderr
    assert begun == []


def test_the_patience_with_an_end_begins_anew_after_a_requeue(
    queued: QueuedJob, answers: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    over = {"7_1": JobOutcome("COMPLETED", "0:0")}
    clock, looks = 10.0, 0
    monkeypatch.setattr(attached, "time", SimpleNamespace(sleep=lambda _: None, monotonic=lambda: clock))

    def back() -> Answer:
        nonlocal clock
        clock += 1  # more than the patience
        return {"7_1": JobOutcome("PENDING")}

    def again() -> Answer:
        nonlocal clock, looks
        looks += 1
        clock += 1 if looks > 1 else 0
        return over

    answers(over, back, again)
    assert "ended with its run unfinished" in str(end(queued)[0])
    assert looks == 2


def test_without_accounts_a_job_that_is_gone_does_not_hang_the_driver(
    queued: QueuedJob, answers: Callable[..., None]
) -> None:
    answers({"7_1": JobOutcome("RUNNING")}, {})
    assert "is gone from SLURM's queue" in str(end(queued)[0])


def test_a_silent_controller_proves_nothing(
    queued: QueuedJob, answers: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    looks = 0

    def silent() -> Answer:
        nonlocal looks
        looks += 1
        if looks == 20:
            write(queued.job.run, "finished")
        return None

    answers(silent)
    assert end(queued)[0] is None
    assert looks == 20
    assert caplog.text.count("does not answer") == 1


def test_a_job_that_found_another_at_work_is_told_apart(
    queued: QueuedJob, answers: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "state", lambda self: "running")
    answers({"7_1": JobOutcome("COMPLETED", "0:0")})
    assert isinstance(end(queued)[0], Busy)
    monkeypatch.setattr(Run, "state", lambda self: "interrupted")
    assert "ended with its run unfinished" in str(end(queued)[0])
