"""What a run takes from the caches and leaves in them."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ordinalclip.job import run_job
from ordinalclip.prepare import prepare
from ordinalclip.runs import Run
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
