"""A finished run opened again: the same scores on its own data, its ranks on others', and what is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ordinalclip.errors import ConfigError, DataError
from ordinalclip.evaluate import evaluate
from ordinalclip.runs.run import Run
from tests.trained import train

HERE = ("trainer=cpu", "num_workers=0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluate")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """A run whose image tower was trained, so that its checkpoint has a bit of everything."""
    words = ["trainable.image=1e-3", "trainable.logit_scale=1e-3", "protocol.readout=median"]
    return train(folder, "backbone.projection=linear", *words)


def again(folder: Path, run: Run, *words: str) -> dict[str, float]:
    paths = [f"paths.{name}={folder / name}" for name in ("data", "cache")]
    return evaluate([f"run={run.directory}", *HERE, *paths, *words])


def the_evaluation(run: Run, name: str) -> tuple[dict[str, Any], pd.DataFrame]:
    (folder,) = (run.directory / "evaluations").glob(f"{name}-*")
    return json.loads((folder / "stats.json").read_text()), pd.read_parquet(folder / "predictions.parquet")


@pytest.mark.slow
def test_own_splits_score_as_they_did(folder: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in run.directory.glob("*_stats.json")}
    for split in ("test", "val"):
        stats = again(folder, run, f"split={split}")
        if split == "test":
            assert stats.pop("test/num_trained_on") == stats.pop("test/num_chosen_on") == 0
        assert stats == pytest.approx(run.read_json(f"{split}_stats.json"), abs=1e-6, nan_ok=True)
    written, predictions = the_evaluation(run, "gauge-test")
    recorded = pd.read_parquet(run.directory / "predictions.parquet")
    np.testing.assert_allclose(np.stack(predictions["probs"]), np.stack(recorded["probs"]), atol=1e-6)
    assert written["manifest"] == run.read_json("identity.json")["manifest"]
    assert {path: path.read_bytes() for path in before} == before
    assert run.state() == "finished"
    shown = capsys.readouterr().out
    assert "MAE in ranks, expectation" in shown
    assert f"written {run.directory / 'evaluations'}" in shown


@pytest.mark.slow
def test_all_splits_together_and_what_was_trained_on(folder: Path, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    stats = again(folder, run, "split=all")
    table = pd.read_parquet(run.directory / "manifest.parquet")
    assert stats["all/num_images"] == len(table)
    assert stats["all/num_trained_on"] == (table["split"] == "train").sum()
    assert stats["all/num_chosen_on"] == table["split"].isin(["val", "calibration"]).sum()
    assert f"of these {len(table)} images were trained on" in caplog.text


@pytest.mark.slow
def test_frozen_towers_and_fixed_prompts_open_too(folder: Path) -> None:
    source = train(folder, "trainable.image=1e-2", "seed=3")
    initial = (f"init.checkpoint={source.directory}", "init.parts=[image]")
    choices = (("prompt=context",), ("prompt=linear", *initial), ("prompt=fixed", *initial))
    runs = [train(folder, *words) for words in choices]
    shutil.rmtree(source.directory)  # a run is complete without those it came from
    for run in runs:
        test = run.read_json("test_stats.json")
        assert again(folder, run)["test/mae"] == pytest.approx(test["test/mae"], abs=1e-6)


@pytest.mark.slow
def test_features_are_of_the_precision_that_the_run_had(folder: Path) -> None:
    run = train(folder, "features.precision=bf16")
    recorded = np.stack(pd.read_parquet(run.directory / "predictions.parquet")["probs"])
    differ = []
    for words in ((), ("features.precision=fp32",)):
        again(folder, run, *words)
        differ.append(np.abs(np.stack(the_evaluation(run, "gauge-test")[1]["probs"]) - recorded).max())
    assert differ[0] <= 1e-6 < 1e-4 < differ[1]


@pytest.mark.slow
def test_other_data_with_the_same_ranks(folder: Path, run: Run, tmp_path: Path) -> None:
    other = ["dataset=gauge", "dataset.num_ranks=5", "dataset.images_per_rank=12", "dataset.size=40"]
    stats = again(folder, run, *other)
    assert stats["test/num_trained_on"] == 0
    for words, readout in ((["protocol.readout=argmax"], "argmax"), (["protocol=random"], "median"), ([], "median")):
        again(folder, run, *other, *words)
        newest = max(
            (run.directory / "evaluations").glob("gauge-test-*/details.json"), key=lambda file: file.stat().st_mtime_ns
        )
        assert json.loads(newest.read_text())["readout"] == readout  # the run's, unless it is typed
    fewer = again(folder, run, "dataset=gauge", "dataset.num_ranks=4", "dataset.images_per_rank=12", "dataset.size=40")
    assert 0 < fewer["test/num_images"] < stats["test/num_images"]
    with pytest.raises(DataError, match="gauge has 6 ranks, the run 5; values only in gauge: 5"):
        again(folder, run, "dataset=gauge", "dataset.num_ranks=6", "dataset.images_per_rank=12", "dataset.size=32")


@pytest.mark.slow
def test_a_table_of_test_images_alone(folder: Path, run: Run, tmp_path: Path) -> None:
    rows = pd.read_csv(run.directory / "manifest.csv")
    root = run.read_json("provenance.json")["root"]  # type: ignore[index]
    test = rows[rows["split"] == "test"]
    test[["path", "rank", "value", "split"]].to_csv(tmp_path / "test.csv", index=False)
    other = ["dataset=manifest", f"dataset.path={tmp_path / 'test.csv'}", f"dataset.root={root}", "protocol=given"]
    stats, own = again(folder, run, *other), json.loads((run.directory / "test_stats.json").read_text())
    # The constant is that of the run's own training images, which are not in the table.
    for name in ("mae", "constant_mae", "constant_median_rank"):
        assert stats[f"test/{name}"] == pytest.approx(own[f"test/{name}"], abs=1e-6), name
    with pytest.raises(DataError, match="no image in the split train"):
        again(folder, run, *other, "split=train")


@pytest.mark.slow
def test_what_is_refused(folder: Path, run: Run, tmp_path: Path) -> None:
    def refused(told: str, *words: str, kind: type[Exception] = ConfigError) -> None:
        with pytest.raises(kind, match=told):
            again(folder, run, *words)

    refused("split=tests: there is no such split", "split=tests")
    refused("seed=3: belongs to the run and stays as it is", "seed=3")
    refused("dataset.colour=red: the run has no such key", "dataset.colour=red")
    refused("there is no such file", "backbone.weights=gone.pt")
    refused(r"allowed: backbone\.weights=… as a whole", "backbone.weights.image=gone.pt")
    refused("not those that the run was made with", "dataset.seed=5", kind=DataError)
    with pytest.raises(ConfigError, match="which run"):
        evaluate(["split=test"])
    with pytest.raises(ConfigError, match="there is no such run"):
        evaluate([f"paths.runs={run.directory.parent}", f"run={run.run_id[:9]}"])

    copy = Run(tmp_path / run.directory.name)
    shutil.copytree(run.directory, copy.directory)
    torch.save({"state_dict": {"model.prompt.base_ranks": torch.zeros(7)}}, copy.best_checkpoint)
    with pytest.raises(DataError, match=r"best.ckpt: is not the file that was written"):
        again(folder, copy)
    (copy.directory / "SHA256SUMS").unlink()  # as of an older version
    with pytest.raises(DataError, match=r"prompt.base_ranks is \[7\]; the model that .* has \[3, 1, 64\]"):
        again(folder, copy)
    torch.save({"state_dict": {"model.prompt.base_ranks": torch.zeros(3, 1, 64)}}, copy.best_checkpoint)
    with pytest.raises(DataError, match="other rank features than those recorded"):
        again(folder, copy)
    copy.best_checkpoint.unlink()
    with pytest.raises(ConfigError, match=r"its ckpt/best.ckpt is missing"):
        again(folder, copy)
    (copy.directory / "status.json").write_text('{"status": "failed", "epoch": 0, "epochs": 3}')
    with pytest.raises(ConfigError, match=r"is not finished \(failed, after epoch 0 of 3\)"):
        again(folder, copy)


@pytest.mark.slow
def test_help_and_mistakes_take_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['evaluate', *{words}]; from ordinalclip.evaluate import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules)"
    )
    for words, status, told in (([], 0, "run=RUN"), (["--help"], 0, "Examples"), (["run=nothing"], 2, "no such run")):
        done = subprocess.run(
            [sys.executable, "-c", code.format(words=words)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == status
        assert told in done.stdout + done.stderr
        assert done.stdout.endswith("False\n")
    assert list(tmp_path.iterdir()) == []
