"""A run on a subset lists what the subset changed, and tells the error of ranks that it never saw."""

import pandas as pd
import pytest

from ordinalclip.execution.job import run_job
from ordinalclip.preparation.checks import check
from ordinalclip.preparation.prepare import prepare
from tests.conftest import Compose


@pytest.mark.slow
def test_unseen_ranks_are_recorded_and_scored(compose_cfg: Compose) -> None:
    job = prepare(compose_cfg("subset.hide_every=3", "epochs=1"))
    run_job(job, in_sweep=True)
    listed = pd.read_parquet(job.run.directory / "subset.parquet")
    assert set(listed["rank"]) == {2}
    assert set(listed["split_before_subset"]) == {"train", "val"}
    stats = job.run.read_json("test_stats.json")
    shown = pd.read_parquet(job.run.directory / "predictions.parquet")
    error = (shown["expectation"] - shown["rank"]).abs()
    assert stats["test/mae_unseen"] == pytest.approx(error[shown["rank"] == 2].mean(), rel=1e-5)
    assert stats["test/mae_seen"] == pytest.approx(error[shown["rank"] != 2].mean(), rel=1e-5)
    assert job.run.read_json("leakage.json")["duplicates"]["shared"] == 0
    assert [line["values"]["leakage/duplicates"] for line in job.run.metrics() if "test/mae" in line["values"]] == [0.0]


@pytest.mark.slow
def test_records_of_before_the_newer_options_are_still_good(compose_cfg: Compose) -> None:
    cfg = compose_cfg()
    old = ("shots", "shift_ranks", "shift_keep", "eval_min_rank", "seed")
    cfg["subset"] = {key: cfg["subset"][key] for key in old}
    cfg["protocol"] = {key: cfg["protocol"][key] for key in ("split", "readout", "select_on")}
    check(cfg, known={"num_ranks": 5})
    assert prepare(cfg).run.run_id == prepare(compose_cfg()).run.run_id
