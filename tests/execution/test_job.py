"""What one job does when it is typed again, when another process works on it, and when something goes wrong."""

import contextlib
import json
import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ordinalclip.errors import Busy, ConfigError, Superseded
from ordinalclip.execution import fit, job
from ordinalclip.execution.job import run_job
from ordinalclip.preparation import prepare as first_record
from ordinalclip.preparation.prepare import Job, prepare
from ordinalclip.runs.leases import living_attempt
from ordinalclip.runs.run import Run
from ordinalclip.training import callbacks
from ordinalclip.training.module import OrdinalModule
from tests import warm
from tests.conftest import Compose


class Boom(Exception):
    """Nothing that the program knows."""


@pytest.fixture
def small_job(compose_cfg: Compose) -> Job:
    return prepare(compose_cfg("prompt=linear"), ("prompt=linear",))


def failing_at(epoch: int, error: BaseException) -> Any:
    """A training step that raises in the second batch of an epoch."""
    step = OrdinalModule.training_step

    def failing(self: OrdinalModule, batch: Any, batch_idx: int) -> Any:
        if (self.current_epoch, batch_idx) == (epoch, 1):
            raise error
        return step(self, batch, batch_idx)

    return failing


def raising(error: BaseException) -> Any:
    def raise_it(*_: Any, **__: Any) -> Any:
        raise error

    return raise_it


@contextlib.contextmanager
def patched(target: Any, name: str, value: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, name, value)
        yield


def values_by_epoch(run: Run) -> dict[int, dict[str, float]]:
    return {line["epoch"]: line["values"] for line in run.metrics()}


@pytest.mark.slow
def test_the_record_is_complete(small_job: Job) -> None:
    run_job(small_job)
    run = small_job.run
    names = {str(path.relative_to(run.directory)) for path in run.directory.rglob("*") if path.is_file()}
    assert names >= {
        "config.yaml",
        "overrides.json",
        "identity.json",
        "status.json",
        "provenance.json",
        "metrics.jsonl",
        "val_stats.json",
        "test_stats.json",
        "ordinality.json",
        "predictions.parquet",
        "rank_features.safetensors",
        "ckpt/best.ckpt",
        "ckpt/last.ckpt",
        "run.log",
    }
    assert (run.directory / "figures").is_dir()
    assert not [name for name in names if Path(name).name.startswith(".")]
    assert run.state() == "finished"
    assert run.read_json("overrides.json") == ["prompt=linear"]


@pytest.mark.slow
def test_a_finished_run_is_skipped_and_says_when_other_code_made_it(
    small_job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    run_job(small_job, in_sweep=True)
    before = {path: path.stat().st_mtime_ns for path in small_job.run.directory.rglob("*")}
    caplog.set_level(logging.INFO)
    with patched(fit, "fit", raising(Boom())):
        run_job(small_job, in_sweep=True)
    assert f"done already: {small_job.run.directory.name}" in caplog.text
    assert "other code" not in caplog.text
    assert {path: path.stat().st_mtime_ns for path in small_job.run.directory.rglob("*")} == before

    made = small_job.run.read_json("provenance.json")
    made["code"]["git"] = "abcdef0123456789"
    (small_job.run.directory / "provenance.json").write_text(json.dumps(made))
    run_job(small_job, in_sweep=True)
    assert "by other code" in caplog.text
    assert "abcdef01;" in caplog.text


@pytest.mark.slow
def test_rerun_archives_every_time_and_repeats_to_the_bit(compose_cfg: Compose) -> None:
    first = prepare(compose_cfg("prompt=linear", "epochs=1"))
    run_job(first, in_sweep=True)
    stats = first.run.read_json("test_stats.json")
    again = prepare(compose_cfg("prompt=linear", "epochs=1", "rerun=true"))
    assert again.run.directory == first.run.directory
    for _ in range(2):  # within a second
        run_job(again, in_sweep=True)
    archived = [Run(path) for path in (first.run.directory.parent / "archive").iterdir()]
    assert len(archived) == 2
    for run in [*archived, again.run]:
        assert run.read_json("test_stats.json") == stats
        assert run.state() == "finished"
        assert living_attempt(run.directory) is None


def test_a_busy_run_is_refused_and_left_as_it_is(compose_cfg: Compose) -> None:
    job = prepare(compose_cfg("prompt=linear"))
    Run(job.run.directory).claim()  # this process lives
    with pytest.raises(Busy):
        run_job(job, in_sweep=True)
    with pytest.raises(Busy):
        run_job(prepare(compose_cfg("prompt=linear", "rerun=true")), in_sweep=True)
    assert [path.name for path in job.run.directory.iterdir()] == ["attempts"]


@pytest.mark.slow
def test_a_run_that_another_process_ends_in_between_is_not_repeated(
    small_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Run.claim

    def claim_late(run: Run) -> Any:
        if run is small_job.run:
            other = Run(run.directory)
            claim(other)
            other.set_status("finished")
            other.release("finished")
        return claim(run)

    monkeypatch.setattr(Run, "claim", claim_late)
    monkeypatch.setattr(fit, "fit", raising(Boom()))
    run_job(small_job, in_sweep=True)
    assert small_job.run.state() == "finished"
    assert living_attempt(small_job.run.directory) is None


@pytest.mark.slow
def test_a_failure_is_raised_and_recorded_and_the_retry_goes_on_to_the_bit(compose_cfg: Compose) -> None:
    options = ("prompt=rank", "backbone.projection=linear", "epochs=4", "schedule=cosine")
    whole = prepare(compose_cfg(*options))
    run_job(whole, in_sweep=True)

    cfg = compose_cfg(*options)
    cfg["paths"]["runs"] += "-cut"
    cut = prepare(cfg)
    handlers = list(logging.getLogger().handlers)
    with patched(OrdinalModule, "training_step", failing_at(2, Boom("it broke"))), pytest.raises(Boom, match="broke"):
        run_job(cut, in_sweep=True)
    assert logging.getLogger().handlers == handlers
    assert cut.run.state() == "failed"
    status = cut.run.status()
    assert (status["error"], status["epoch"], status["attempt"]) == ("Boom: it broke", 2, 1)
    log = (cut.run.directory / "run.log").read_text()
    assert "Traceback" in log
    assert "in failing" in log

    run_job(cut, in_sweep=True)
    assert cut.run.state() == "finished"
    assert "error" not in cut.run.status()
    assert cut.run.status()["attempt"] == 2
    assert values_by_epoch(cut.run) == values_by_epoch(whole.run)
    assert cut.run.read_json("test_stats.json") == whole.run.read_json("test_stats.json")


@pytest.mark.slow
def test_a_failure_after_the_last_epoch_only_repeats_the_test(small_job: Job) -> None:
    with patched(fit, "evaluate_split", raising(Boom())), pytest.raises(Boom):
        run_job(small_job, in_sweep=True)
    assert small_job.run.state() == "failed"
    with patched(OrdinalModule, "training_step", raising(Boom())):
        run_job(small_job, in_sweep=True)
    assert small_job.run.state() == "finished"
    assert (small_job.run.directory / "predictions.parquet").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("module", "place"), [(first_record, "provenance"), (job, "mirror_of"), (job, "_log_to")])
def test_a_failure_before_the_first_step_keeps_nothing_claimed(small_job: Job, module: Any, place: str) -> None:
    with patched(module, place, raising(Boom())), pytest.raises(Boom):
        run_job(small_job, in_sweep=True)
    assert living_attempt(small_job.run.directory) is None
    run_job(small_job, in_sweep=True)
    assert small_job.run.state() == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(-1)])
def test_an_interruption_stays_what_it_is_and_is_gone_on_from(small_job: Job, stop: BaseException) -> None:
    ctrl_c = signal.getsignal(signal.SIGINT)
    try:
        with (
            patched(OrdinalModule, "training_step", failing_at(1, stop)),
            pytest.raises(type(stop)),
        ):
            run_job(small_job, in_sweep=True)
    finally:
        signal.signal(signal.SIGINT, ctrl_c)  # Lightning ignores it from its first Ctrl-C on
    assert small_job.run.state() == "interrupted"
    assert small_job.run.status()["epoch"] == 1
    run_job(small_job, in_sweep=True)
    assert small_job.run.state() == "finished"


@pytest.mark.slow
def test_a_full_disk_does_not_hide_why_a_run_ended(small_job: Job) -> None:
    """Were the interrupt replaced by the error of writing it down, a sweep would go on with its next run."""
    full = OSError(28, "No space left on device")

    def stop(*_: Any, **__: Any) -> None:
        small_job.run.set_status = raising(full)  # type: ignore[method-assign]
        raise KeyboardInterrupt

    with patched(fit, "fit", stop), pytest.raises(KeyboardInterrupt):
        run_job(small_job, in_sweep=True)
    again = Run(small_job.run.directory)
    assert again.state() == "interrupted"
    assert living_attempt(again.directory) is None


@pytest.mark.slow
def test_a_superseded_run_writes_nothing_more(small_job: Job) -> None:
    def taken_over(*_: Any, **__: Any) -> None:
        attempts = small_job.run.directory / "attempts"
        (attempts / "0002.json").write_text((attempts / "0001.json").read_text())
        small_job.run.write("x.txt", "")

    with patched(fit, "fit", taken_over), pytest.raises(Superseded):
        run_job(small_job, in_sweep=True)
    assert small_job.run.status()["status"] == "running"


def test_a_runs_folder_that_cannot_be_written_is_one_error(compose_cfg: Compose, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cfg = compose_cfg("prompt=linear")
    cfg["paths"]["runs"] = str(tmp_path / "file")
    with pytest.raises(ConfigError, match=r"paths\.runs"):
        run_job(prepare(cfg), in_sweep=True)


@pytest.mark.slow
def test_a_resumed_run_says_which_code_and_device_made_its_first_epochs(small_job: Job) -> None:
    with patched(OrdinalModule, "training_step", failing_at(1, Boom())), pytest.raises(Boom):
        run_job(small_job, in_sweep=True)
    made = small_job.run.read_json("provenance.json")
    assert (made["device"], made["threads"]) == ("cpu", torch.get_num_threads())
    made["code"]["version"] = "0.0.older"
    made["device"] = "NVIDIA H100"
    (small_job.run.directory / "provenance.json").write_text(json.dumps(made))
    run_job(small_job, in_sweep=True)
    now = small_job.run.read_json("provenance.json")
    assert now["code"]["version"] != "0.0.older"
    assert now["device"] == "cpu"
    assert [(earlier["code"]["version"], earlier["device"]) for earlier in now["earlier"]] == [
        ("0.0.older", "NVIDIA H100")
    ]


@pytest.mark.slow
def test_a_run_is_found_whatever_its_data_set_is_called(compose_cfg: Compose) -> None:
    first = prepare(compose_cfg("prompt=linear", "epochs=1"))
    run_job(first, in_sweep=True)
    renamed = prepare(compose_cfg("prompt=linear", "epochs=1", "dataset.name=my/own dials"))
    assert renamed.run.run_id == first.run.run_id
    assert renamed.run.state() == "finished"


@pytest.mark.slow
def test_a_checkpoint_without_its_best_is_not_gone_on_from(small_job: Job) -> None:
    """As after a folder was copied in part: the best epoch could not be tested."""
    with patched(OrdinalModule, "training_step", failing_at(2, Boom())), pytest.raises(Boom):
        run_job(small_job, in_sweep=True)
    small_job.run.best_checkpoint.unlink()
    assert callbacks.checkpoint_to_resume(small_job.run) is None
    run_job(small_job, in_sweep=True)
    assert torch.load(small_job.run.last_checkpoint, weights_only=True)["epoch"] == 2


@pytest.mark.slow
def test_of_two_processes_that_start_at_once_one_runs_and_the_other_says_so(
    compose_cfg: Compose, tmp_path: Path
) -> None:
    cfg = compose_cfg("prompt=linear", "epochs=40")
    job = prepare(cfg)  # draws the gauges, so that both arrive together
    (tmp_path / "cfg.json").write_text(json.dumps(cfg))
    command = ["tests.interrupted_run", str(tmp_path / "cfg.json")]
    with warm.start(*command) as one, warm.start(*command) as other:
        both = [one, other]
        said = [process.communicate(timeout=600)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1]
    refused = next(words for words, process in zip(said, both, strict=True) if process.returncode == 1)
    assert "Busy" in refused
    assert job.run.state() == "finished"
    assert [path.name for path in (job.run.directory / "attempts").iterdir()] == ["0001.json"]
