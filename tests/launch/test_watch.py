import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from launch import attached as watching
from launch.attached import watch
from launch.slurm_outcome import JobFailed, JobOutcome
from launch.submission import QueuedJob
from ordinalclip.errors import Busy
from ordinalclip.preparation.prepare import Job
from ordinalclip.runs.run import Run

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

        monkeypatch.setattr(watching, "query_queue", ask)
        monkeypatch.setattr(watching, "query_accounting", lambda jobs: accounts)
        monkeypatch.setattr(watching, "_POLL_S", 0.0)
        monkeypatch.setattr(watching, "_GRACE_S", 0.05)
        monkeypatch.setattr(watching, "_WARN_AFTER_S", 0.05)

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
    monkeypatch.setattr(watching, "time", SimpleNamespace(sleep=lambda _: None, monotonic=lambda: clock))

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
