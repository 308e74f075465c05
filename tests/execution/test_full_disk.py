"""A run that cannot write a checkpoint, or is killed while it does, keeps its last good one."""

import contextlib
import errno
import json
import logging
import multiprocessing
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ordinalclip.execution.job import run_job
from ordinalclip.preparation.prepare import Job, prepare
from ordinalclip.runs.run import Run
from ordinalclip.system.files import overwrite_in_place
from tests.conftest import Compose


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path / "run")
    run.claim()
    run.publish("ckpt/last.ckpt", lambda draft: torch.save({"epoch": 1}, draft))
    yield run
    run.release("failed")


def holds(run: Run, epoch: int) -> bool:
    files = {path.name for path in (run.directory / "ckpt").iterdir()}
    return files <= {"last.ckpt", "best.ckpt"} and torch.load(run.last_checkpoint, weights_only=True)["epoch"] == epoch


@pytest.fixture
def no_file_over_100_kb() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("no_file_over_100_kb")
def test_what_torch_could_not_write_is_told_as_what_it_was(run: Run) -> None:
    large = {"epoch": 2, "weights": torch.zeros(100_000)}
    with pytest.raises(OSError, match=r"File too large; what was there before is kept.*last\.ckpt") as caught:
        run.publish("ckpt/last.ckpt", lambda draft: torch.save(large, draft))
    assert caught.value.errno == errno.EFBIG
    assert holds(run, 1)


def test_what_failed_for_another_reason_is_left_as_it_is(run: Run) -> None:
    def broken(draft: Path) -> None:
        draft.write_text("half")
        raise RuntimeError("no such operator")

    with pytest.raises(RuntimeError, match="no such operator"):
        run.publish("ckpt/last.ckpt", broken)
    assert holds(run, 1)


def test_a_rename_that_fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"No space left.*is kept"):
        run.publish("ckpt/last.ckpt", lambda draft: torch.save({"epoch": 2}, draft))
    assert holds(run, 1)
    with pytest.raises(OSError, match=r"No space left.*none before"):
        run.set_status("running")  # there is no file that it could be written over


def test_a_small_file_is_written_where_it_lies_if_there_is_room(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    file.write_text("a longer text than the one that follows")
    place = file.stat().st_ino
    overwrite_in_place(file, "kürzer")
    assert file.read_text(encoding="utf-8") == "kürzer"
    assert file.stat().st_ino == place
    with pytest.raises(OSError, match="No space left"):
        overwrite_in_place(file, "x" * (file.stat().st_blocks * 512 + 1))
    assert file.read_text(encoding="utf-8") == "kürzer"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk(compose_cfg: Compose, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = compose_cfg("prompt=linear")
    cfg["paths"]["runs"] = str(small_disk / "runs")
    job, publish = prepare(cfg), Run.publish

    def filled(self: Run, name: str, make: Any) -> Path:
        if name == "ckpt/last.ckpt" and self.epochs_done() == 1:
            with contextlib.suppress(OSError), (small_disk / "filler").open("wb") as file:
                file.write(b"0" * 5_000_000)
        return publish(self, name, make)

    monkeypatch.setattr(logging, "raiseExceptions", False)  # as for a user, who is not told that a log is full, too
    monkeypatch.setattr(Run, "publish", filled)
    with pytest.raises(OSError, match=r"No space left.*is kept.*last\.ckpt"):
        run_job(job, in_sweep=True)
    monkeypatch.setattr(Run, "publish", publish)
    assert job.run.state() == "failed"
    assert "No space left" in job.run.status()["error"]
    (attempt,) = (job.run.directory / "attempts").glob("*.json")
    assert json.loads(attempt.read_text())["outcome"] == "failed"
    assert holds(job.run, 0)
    (small_disk / "filler").unlink()
    run_job(prepare(cfg), in_sweep=True)
    assert job.run.state() == "finished"
    assert sorted({line["epoch"] for line in job.run.metrics()}) == [0, 1, 2, 3]


def killed_at_the_rename(job: Job) -> None:
    replace = os.replace

    def killed(source: Any, target: Any) -> None:
        if Path(target).name == "last.ckpt" and job.run.epochs_done() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = killed
    run_job(job, in_sweep=True)


@pytest.mark.slow
def test_a_kill_between_writing_and_renaming(compose_cfg: Compose) -> None:
    job = prepare(compose_cfg("prompt=linear"))
    process = multiprocessing.get_context("fork").Process(target=killed_at_the_rename, args=(job,))
    process.start()
    process.join(600)
    assert process.exitcode == -signal.SIGKILL
    assert job.run.state() == "interrupted"
    assert [path.name for path in (job.run.directory / "ckpt").glob(".*")] == [".0001-last.ckpt"]
    assert torch.load(job.run.last_checkpoint, weights_only=True)["epoch"] == 0
    job.run.claim()
    assert holds(job.run, 0)
    job.run.release("interrupted")
    run_job(prepare(job.cfg), in_sweep=True)
    assert job.run.state() == "finished"
    assert holds(job.run, 2)
