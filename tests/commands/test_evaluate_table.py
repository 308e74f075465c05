"""Any score from a run's tables alone: a record without weights, model or images."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ordinalclip.errors import ConfigError, DataError
from ordinalclip.evaluate import evaluate
from ordinalclip.runs.run import Run
from ordinalclip.scoring.predictions import read_predictions

NUM_IMAGES = 60


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A record with predictions of test and calibration, its manifest in another order, a subject every two images."""
    folder = tmp_path / "runs" / "faces-tiny-rank-s0-0123456789"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rank = rng.integers(4, size=NUM_IMAGES)
    paths = [f"{i}.png" for i in range(NUM_IMAGES)]
    columns = {"path": paths, "rank": rank, "value": rank * 10.0 + 1, "deviation": 3.0}
    columns |= {"subject": [f"p{i // 2}" for i in range(NUM_IMAGES)], "group": None, "sex": ["f", "m"] * 30}
    columns |= {"split": ["test"] * 50 + ["calibration"] * 10, "sha256": paths}
    pd.DataFrame(columns).sample(frac=1, random_state=0).to_parquet(folder / "manifest.parquet")
    probs = list(rng.dirichlet(np.ones(4), NUM_IMAGES).astype(np.float32))
    table = pd.DataFrame({"path": paths, "rank": rank, "probs": probs})
    table[:50].to_parquet(folder / "predictions.parquet")
    table[50:].to_parquet(folder / "predictions_calibration.parquet")
    (folder / "config.yaml").write_text("protocol: {readout: median}\n")
    (folder / "status.json").write_text('{"status": "finished"}')
    ranks = {"names": ["a", "b", "c", "d"], "values": [1.0, 11.0, 21.0, 31.0], "unit": "years"}
    (folder / "ranks.json").write_text(json.dumps(ranks))
    return Run(folder)


def test_rows_of_the_manifest_find_their_predictions(run: Run) -> None:
    found = read_predictions(run)
    table = pd.read_parquet(run.directory / "predictions.parquet")
    assert found.rank.tolist() == table["rank"].tolist()
    assert found.value == pytest.approx(table["rank"] * 10.0 + 1)
    assert found.family is not None
    assert (found.family == np.arange(50) // 2).all()
    assert found.attributes["sex"].tolist() == ["f", "m"] * 25
    assert list(found.attributes) == ["sex"]


@pytest.mark.slow
def test_the_best_run_is_named_as_everywhere(run: Run) -> None:
    (run.directory / "identity.json").write_text("{}")
    (run.directory / "val_stats.json").write_text('{"val/mae": 1.5}')
    where = f"paths.runs={run.directory.parent}"
    words = ["metrics=amae", where]
    assert evaluate(["run=best:metric=val/mae", *words]) == evaluate([f"run={run.directory}", *words])
    with pytest.raises(ConfigError, match="a model is not chosen on test"):
        evaluate(["run=best:metric=test/mae", *words])
    with pytest.raises(ConfigError, match="there is no sweep none"):
        evaluate(["run=best:sweep=none", where])


def test_scores_by_name(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluate([f"run={run.directory}", "metrics=mae_median,cs@10,amae,epsilon_error"])
    table = pd.read_parquet(run.directory / "predictions.parquet")
    median = [next(k for k in range(4) if row[: k + 1].astype(float).sum() >= 0.5) for row in table["probs"]]
    error = np.abs(np.array(median) - table["rank"])
    assert list(found) == ["mae_median", "cs_10", "amae", "epsilon_error"]
    assert found["mae_median"] == pytest.approx(error.mean())
    assert found["cs_10"] == pytest.approx((error <= 1).mean())
    assert found["amae"] == pytest.approx(error.groupby(table["rank"]).mean().mean())
    assert found["epsilon_error"] == pytest.approx((1 - np.exp(-((10 * error) ** 2) / 18)).mean())
    shown = capsys.readouterr().out
    assert "50 test images" in shown
    assert "share at most 10 units off, readout" in shown
    assert "readout: median; unit: years; intervals: bootstrap, 1,000 draws of 25 subjects, groups or blocks" in shown


@pytest.mark.slow
def test_a_run_selected_on_test_is_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate([f"run={run.directory}", "metrics=mae"])
    assert "selected on test" not in capsys.readouterr().out
    (run.directory / "labels.json").write_text('{"selected_on": "test"}')
    evaluate([f"run={run.directory}", "metrics=mae"])
    assert "selected on test: the run's epoch was chosen by its test scores" in capsys.readouterr().out


@pytest.mark.slow
def test_all_of_them_and_another_split(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluate([f"run={run.directory.name}", f"paths.runs={run.directory.parent}", "metrics=all"])
    assert {"cs_5", "pit_mean", "epsilon_error", "worst_group_mae"} <= set(found)
    assert evaluate([f"run={run.directory}", "metrics=nll", "split=calibration"])["nll"] > 0
    assert "10 calibration images" in capsys.readouterr().out


def test_what_is_refused(run: Run) -> None:
    for words, told in {
        ("metrics=quwk",): "did you mean qwk",
        ("metrics=mae", "dataset=elpv"): "dataset=elpv: does not go with metrics=",
        ("metrics=mae", "split=train"): "split=train: has no predictions in a record",
    }.items():
        with pytest.raises(ConfigError, match=told):
            evaluate([f"run={run.directory}", *words])
    with pytest.raises(DataError, match="has predictions of: test, calibration"):
        evaluate([f"run={run.directory}", "metrics=mae", "split=val"])
    rows = pd.read_parquet(run.directory / "manifest.parquet")
    rows[rows["path"] != "3.png"].to_parquet(run.directory / "manifest.parquet")
    with pytest.raises(DataError, match=r"1 images are not in manifest.parquet, such as 3.png"):
        evaluate([f"run={run.directory}", "metrics=mae"])


def test_a_record_without_a_manifest_is_read_too(run: Run) -> None:
    (run.directory / "manifest.parquet").unlink()
    found = read_predictions(run)
    assert found.family is None
    assert found.labels == pytest.approx(found.rank_values[found.rank])


@pytest.mark.slow
def test_names_are_checked_without_torch(run: Run) -> None:
    code = (
        f"import sys; sys.argv = ['evaluate', 'run={run.directory}', 'metrics=quwk']\n"
        "from ordinalclip.evaluate import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no such metric" in done.stderr
    assert done.stdout == "False\n"
