"""What a run records of its test beyond the table of scores: intervals, and what figures are drawn from."""

import json

import numpy as np
import pandas as pd
import pytest

from ordinalclip.calibration.calibration import apply_calibration
from ordinalclip.errors import ConfigError
from ordinalclip.evaluate import evaluate
from ordinalclip.execution.job import run_job
from ordinalclip.metrics.names import SHOWN
from ordinalclip.preparation.checks import check
from ordinalclip.preparation.prepare import prepare
from ordinalclip.scoring.predictions import read_predictions
from tests.conftest import Compose

FORTY = ("dataset.images_per_rank=40", "epochs=1", "protocol.readout=rounded_expectation")


@pytest.mark.slow
def test_intervals_are_fitted_on_what_was_set_aside_and_tested(compose_cfg: Compose) -> None:
    job = prepare(compose_cfg(*FORTY, "alpha=0.3"))
    assert job.run.run_id == prepare(compose_cfg(*FORTY)).run.run_id
    run_job(job, in_sweep=True)
    run = job.run
    record, stats = run.read_json("calibration.json"), run.read_json("test_stats.json")
    assert (
        record["n"] == len(read_predictions(run, "calibration")) == (job.manifest.table["split"] == "calibration").sum()
    )
    assert record["default"] == "0.7"
    test = read_predictions(run)
    found = apply_calibration(test.probs, record, 0.9)
    assert found.lower is not None
    assert found.upper is not None
    covered = (found.lower <= test.rank) & (test.rank <= found.upper)
    assert stats["test/coverage_90"] == covered.mean() == record["levels"]["0.9"]["test"]["coverage"]
    assert stats["test/interval_width_90"] == (found.upper - found.lower + 1).mean()
    assert apply_calibration(test.probs, record).level == 0.7

    details = run.read_json("test_details.json")
    assert details["readout"] == "rounded_expectation"
    table = pd.read_parquet(run.directory / "predictions.parquet")
    error = (table["rounded_expectation"] - table["rank"]).abs()
    assert details["readouts"]["rounded_expectation"]["mae"] == pytest.approx(error.mean())
    assert details["ranks"]["mae"] == pytest.approx(error.groupby(table["rank"]).mean().tolist())
    assert stats["test/mae_rounded_expectation"] == pytest.approx(error.mean())
    # An epoch is chosen by the declared readout; MLflow gets its score and few others.
    logged = list(run.metrics())[-1]["values"]
    named = {name.removeprefix("test/") for name in logged if name.startswith("test/")}
    assert "mae_rounded_expectation" in named
    assert named <= {*SHOWN, "mae_rounded_expectation", "mae_value_rounded_expectation"}
    assert len(logged) <= 28

    paths = [f"paths.{key}={value}" for key, value in job.cfg["paths"].items()]
    again = evaluate([f"run={run.directory}", "trainer=cpu", "num_workers=0", *paths])
    assert again["test/coverage_90"] == stats["test/coverage_90"]
    (folder,) = (run.directory / "evaluations").iterdir()
    assert json.loads((folder / "details.json").read_text())["ranks"] == details["ranks"]


@pytest.mark.slow
def test_a_run_without_calibration_images_says_why_it_has_no_intervals(compose_cfg: Compose) -> None:
    job = prepare(compose_cfg("epochs=1"))
    run_job(job, in_sweep=True)
    record = job.run.read_json("calibration.json")
    assert record["n"] == 0
    assert all(level["threshold"] is None for level in record["levels"].values())
    assert "test/coverage_90" not in job.run.read_json("test_stats.json")


@pytest.mark.slow
def test_blocks_that_the_protocol_keeps_together_are_families(compose_cfg: Compose) -> None:
    blocks = ("protocol=blocks", "protocol.split.block_size=8", "dataset.images_per_rank=40", "epochs=1")
    job = prepare(compose_cfg(*blocks))
    run_job(job, in_sweep=True)
    test = read_predictions(job.run)
    rows = np.flatnonzero((job.manifest.table["split"] == "test").to_numpy())
    assert test.family is not None
    assert (test.family == rows // 8).all()
    assert job.run.read_json("test_details.json")["intervals"]["num_groups"] == len(set(rows // 8))
    assert job.run.read_json("calibration.json")["families"] < 10


@pytest.mark.parametrize("alpha", ["0", "0.9", "null"])
def test_alpha_is_checked(compose_cfg: Compose, alpha: str) -> None:
    with pytest.raises(ConfigError, match="alpha"):
        check(compose_cfg(f"alpha={alpha}"))
