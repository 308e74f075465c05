"""What a run takes from the caches and leaves in them."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from ordinalclip.errors import ConfigError
from ordinalclip.execution.job import run_job
from ordinalclip.preparation.prepare import prepare
from ordinalclip.runs.run import Run
from tests.conftest import Compose


def trained(cfg: dict[str, Any]) -> Run:
    job = prepare(cfg)
    run_job(job, in_sweep=True)
    assert job.run.state() == "finished"
    return job.run


@pytest.mark.slow
def test_stored_images_are_the_same_run_and_the_test_split_is_not_stored(
    compose_cfg: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    words = ("trainable.image=1e-3", "epochs=2", f"paths.cache={tmp_path / 'cache'}")
    nothing_fits = ("cache.limit_gb=0", f"paths.cache={tmp_path / 'no'}")
    ways = {"a": (), "b": (), "c": ("cache.images=false",), "d": nothing_fits}
    runs = [trained(compose_cfg(*words, f"paths.runs={tmp_path / name}", *more)) for name, more in ways.items()]
    assert len({run.run_id for run in runs}) == 1
    records = [[line["values"] for line in run.metrics()] for run in runs]
    assert records[0] == records[1] == records[2] == records[3]
    tables = [pd.read_parquet(run.directory / "predictions.parquet") for run in runs]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])
    # Once for training and once for validation; the second run decodes nothing.
    told = [message for message in caplog.messages if message.startswith("stored")]
    assert [message.split(" ")[1] for message in told] == ["36", "9"]
    assert len(list((tmp_path / "cache").glob("images/*/*"))) == 2
    # Nothing fits into 0 GB: a warning for training and one for validation, and the same run.
    assert not (tmp_path / "no" / "images").exists()
    assert len([message for message in caplog.messages if "every epoch" in message]) == 2


@pytest.mark.slow
def test_views_are_shared_by_seeds_and_evaluation_uses_the_plain_image(
    compose_cfg: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordinalclip.features.extraction._MIN_LOGGED_SECONDS", 0)
    caplog.set_level(logging.INFO)
    words = ("features.views=2", "epochs=3", f"paths.cache={tmp_path / 'cache'}")
    first = trained(compose_cfg(*words))
    told = [message for message in caplog.messages if message.startswith("features of")]
    assert [message.split(" ")[3] for message in told] == ["60", "72"]  # all images, two views of 36
    caplog.clear()
    other = trained(compose_cfg(*words, "seed=1"))
    assert not [message for message in caplog.messages if message.startswith("features of")]
    plain = trained(compose_cfg(*words, "features.views=0"))
    assert len({first.run_id, other.run_id, plain.run_id}) == 3
    losses = [next(iter(run.metrics()))["values"]["train/loss"] for run in (first, plain)]
    assert losses[0] != losses[1]
    assert not (tmp_path / "cache" / "images").exists()
    again = trained(compose_cfg(*words, f"paths.runs={tmp_path / 'again'}"))
    assert [line["values"] for line in again.metrics()] == [line["values"] for line in first.metrics()]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("word", ["trainer.accelerator=gpu", "trainer.precision=16-mixed"])
def test_a_gpu_that_is_not_there_is_told_before_features_are_computed(
    compose_cfg: Compose, tmp_path: Path, word: str
) -> None:
    job = prepare(compose_cfg("trainer.accelerator=auto", word, f"paths.cache={tmp_path / 'cache'}"))
    with pytest.raises(ConfigError, match=word):
        run_job(job, in_sweep=True)
    assert not (tmp_path / "cache" / "features").exists()


@pytest.mark.slow
def test_a_layer_that_the_tower_lacks_is_told_before_images_are_decoded(compose_cfg: Compose, tmp_path: Path) -> None:
    words = ("trainable.image=1e-3", "image_rates.new_layers=[layr4]", f"paths.cache={tmp_path / 'cache'}")
    job = prepare(compose_cfg(*words))
    with pytest.raises(ConfigError, match=r"image_rates\.new_layers=layr4"):
        run_job(job, in_sweep=True)
    assert not (tmp_path / "cache" / "images").exists()
