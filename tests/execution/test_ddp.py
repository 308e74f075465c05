"""A run on two processes (CPU, gloo) beside the same run on one: the same gradients, metrics, record."""

import json
import multiprocessing
import os
from pathlib import Path

import lightning.pytorch as pl
import pytest

from ordinalclip.execution import fit
from ordinalclip.execution.job import run_job
from ordinalclip.preparation.prepare import Job, prepare
from ordinalclip.runs.run import find_runs
from ordinalclip.training.callbacks import EpochRecord
from tests import ROOT, warm
from tests.close_runs import assert_close
from tests.conftest import Compose
from tests.counted_tower import read_passes
from tests.run_cli import SMALL, train

TWO = "trainer.devices=2"


@pytest.fixture
def quick_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other processes start with their imports done; those of test_processes.py do not."""
    context = warm.mp_context()
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: context)


def job_in(compose_cfg: Compose, folder: str, *overrides: str) -> Job:
    cfg = compose_cfg(*overrides)
    cfg["paths"]["runs"] = str(Path(cfg["paths"]["runs"]).with_name(folder))
    return prepare(cfg)


def batch_size(compose_cfg: Compose) -> int:
    """One that leaves a single image to the last batch: one of the processes has none of it."""
    number = int((prepare(compose_cfg()).manifest.table["split"] == "train").sum())
    return next(size for size in range(8, number) if number % size == 1)


def stopping_after(epochs: int) -> type[EpochRecord]:
    """A record whose process is interrupted once it has written so many epochs."""

    class Stopping(EpochRecord):
        def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            super().on_train_epoch_start(trainer, pl_module)
            if trainer.current_epoch == epochs:
                raise KeyboardInterrupt

    return Stopping


@pytest.mark.slow
@pytest.mark.usefixtures("quick_start")
def test_prompts_on_features_and_a_resume(compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["paths.cache=" + compose_cfg()["paths"]["cache"] + "/of_two", "loss=ce_kl", "lr=0.02"]
    words.append(f"batch_size={batch_size(compose_cfg)}")
    two = job_in(compose_cfg, "two", *words, TWO)
    with monkeypatch.context() as patched:
        patched.setattr(fit, "EpochRecord", stopping_after(2))
        with pytest.raises(KeyboardInterrupt):
            run_job(two, in_sweep=True)
    assert two.run.state() == "interrupted"
    assert two.run.epochs_done() == 2
    run_job(prepare(two.cfg), in_sweep=True)
    assert two.run.state() == "finished"
    files = {path.relative_to(two.run.directory) for path in two.run.directory.rglob("*") if path.is_file()}

    one = job_in(compose_cfg, "one", *words)
    run_job(one, in_sweep=True)
    assert_close(two.run, one.run)
    theirs = {path.relative_to(one.run.directory) for path in one.run.directory.rglob("*") if path.is_file()}
    assert files - theirs == {Path("attempts/0002.json")}


@pytest.mark.slow
def test_a_sweep_starts_once_computes_features_once_and_names_the_whole_batch_of_a_loss_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    passes = tmp_path / "passes.txt"
    words = ["backbone._target_=tests.counted_tower.build_counted", f"+backbone.passes={passes}"]
    words += ["~backbone.width", "~backbone.size", "~backbone.projection", "batch_size=14"]
    done = train(tmp_path, *SMALL, *words, "-m", "trainer=ddp", "trainer.accelerator=cpu", "trainable.rank=1e30,1e-3")
    assert done.stderr.splitlines()[0] == "2 runs: 2 new"
    assert "leaked" not in done.stderr
    runs = {run.state(): run for run in find_runs(tmp_path / "runs")}
    assert runs.keys() == {"failed", "finished"}
    attempts = [path for run in runs.values() for path in (run.directory / "attempts").glob("*.json")]
    assert [path.name for path in attempts] == ["0001.json", "0001.json"]
    assert runs["finished"].epochs_done() == 2
    # Either process had seven of the images.
    assert "and 9 more (14 of the batch)" in runs["failed"].status()["error"]
    used = read_passes(passes)
    assert {process for process, _ in used} == {json.loads(path.read_text())["pid"] for path in attempts}
    assert sum(images for _, images in used) == 5 * 12


@pytest.mark.slow
@pytest.mark.usefixtures("quick_start")
def test_a_trained_tower_with_accumulated_batches(compose_cfg: Compose) -> None:
    words = ["trainable.image=0.05", "trainable.logit_scale=0.05", "optimizer=sgd", "loss=ce_kl", "epochs=2"]
    words += [
        "trainer.accumulate_grad_batches=2",
        f"batch_size={batch_size(compose_cfg)}",
        "trainer.gradient_clip_val=0.5",
    ]
    jobs = [job_in(compose_cfg, name, *words, *more) for name, more in (("one", ()), ("two", (TWO,)))]
    for job in jobs:
        run_job(job, in_sweep=True)
    assert_close(jobs[0].run, jobs[1].run)
