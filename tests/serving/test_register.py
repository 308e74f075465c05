"""A run registered in a real store, loaded from it, and served over HTTP by MLflow itself."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException

import ordinalclip
from ordinalclip.errors import ConfigError
from ordinalclip.execution import job
from ordinalclip.inference.model import RankModel
from ordinalclip.inference.naming import resolve_run
from ordinalclip.register import register_run
from ordinalclip.runs.run import Run
from ordinalclip.serving.register import _example, _pinned, find_shown, is_registered
from tests.serving.made_model import made_model
from tests.trained import train

# MLflow's warning is of its own code, when pyfunc is imported.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*Any type hint")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("register")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return train(folder, "tracking=local", "prompt=linear", "dataset.images_per_rank=40")


@pytest.fixture(scope="module")
def address(run: Run, folder: Path) -> str:
    return register_run([f"run={run.directory}", f"paths.runs={folder / 'runs'}"])


@pytest.fixture(scope="module")
def photo(run: Run) -> Path:
    table = pd.read_parquet(run.directory / "predictions.parquet")
    return Path((run.read_json("provenance.json") or {})["root"]) / table["path"][0]


def test_a_model_that_cannot_be_logged_leaves_the_run_as_it_was(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{folder / 'runs' / 'mlflow.db'}"
    client, mlflow_id = mlflow.MlflowClient(uri), find_shown(run, uri)
    before = client.get_run(mlflow_id).info

    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(import_module("mlflow.pyfunc"), "log_model", full)  # mlflow.pyfunc is a stand-in till then
    with pytest.raises(OSError, match="No space left"):
        register_run([f"run={run.directory}", f"paths.runs={folder / 'runs'}"])
    after = client.get_run(mlflow_id).info
    assert (after.status, after.end_time) == (before.status, before.end_time)
    assert after.status == "FINISHED"


def test_many_images_in_one_request_are_computed_in_batches() -> None:
    from ordinalclip.serving.pyfunc_model import ServedRanks

    served, plain, sizes = ServedRanks(), made_model(5, cls=RankModel), []

    def logits(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return plain.logits(images)

    served.model = replace(plain, logits=logits)
    found = served.predict(None, pd.DataFrame({"image": [_example()["image"][0]] * 70}))
    assert len(found) == 70
    assert sizes == [32, 32, 6]
    with pytest.raises(MlflowException, match=r"row 40: image: not an image"):
        served.predict(None, pd.DataFrame({"image": [_example()["image"][0]] * 40 + ["bm9uZQ=="]}))


def test_versions_are_pinned_without_a_builds_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: "2.9.1+cu126")
    assert _pinned("torch") == "torch==2.9.1"


def test_it_answers_as_the_run_does(run: Run, address: str, folder: Path, photo: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'runs' / 'mlflow.db'}")
    model = mlflow.pyfunc.load_model(address)
    found = model.predict(pd.DataFrame({"image": [base64.b64encode(photo.read_bytes()).decode()]}))
    expected = ordinalclip.load(run.directory, device="cpu").predict(photo)
    assert found["name"][0] == expected[0].name
    assert np.allclose(found.filter(like="p_").to_numpy(), expected.probs, atol=1e-4)
    assert (found["lower"][0], found["upper"][0], found["coverage"][0]) == (expected[0].lower, expected[0].upper, 0.9)
    assert list(model.metadata.get_input_schema().input_names()) == ["image"]
    assert model.metadata.get_output_schema().input_names() == list(found)
    requirements = (Path(mlflow.artifacts.download_artifacts(address)) / "requirements.txt").read_text(encoding="utf-8")
    assert all("==" in line for line in requirements.splitlines())
    assert not list(Path(mlflow.artifacts.download_artifacts(address)).rglob("*.pkl"))
    client = mlflow.MlflowClient()
    version = client.get_model_version(*address.removeprefix("models:/").split("/"))
    assert version.tags["ordinalclip.run_id"] == run.run_id
    assert client.get_run(version.run_id).info.status == "FINISHED"


def test_a_run_is_found_by_its_mlflow_id(run: Run, folder: Path) -> None:
    uri = f"sqlite:///{folder / 'runs' / 'mlflow.db'}"
    found = resolve_run(f"mlflow:{find_shown(run, uri)}", folder / "runs", {"uri": uri})
    assert found.directory == run.directory


def test_training_registers_what_is_finished_once(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_draw", lambda _: None)  # which takes longer than all the rest
    words = ["tracking=local", "prompt=linear", "seed=1", "register=true"]
    run = train(folder, *words, in_sweep=False)
    uri = f"sqlite:///{folder / 'runs' / 'mlflow.db'}"
    assert is_registered(run, uri)
    number = len(mlflow.MlflowClient(uri).search_model_versions())
    train(folder, *words, in_sweep=False)
    assert len(mlflow.MlflowClient(uri).search_model_versions()) == number
    assert "not registered" not in caplog.text
    with pytest.raises(ConfigError, match=r"^register=.*no store"):
        train(folder, *words, "tracking=offline")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def asked(port: int, image: str | None) -> tuple[int, Any]:
    body = json.dumps({"dataframe_records": [{"image": image}]}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_mlflow_serves_it(address: str, folder: Path, photo: Path) -> None:
    port = free_port()
    words = ["-m", "mlflow", "models", "serve", "-m", address, "--env-manager", "local", "-p", str(port)]
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # MLflow looks for uvicorn there
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'runs' / 'mlflow.db'}",
        "ORDINALCLIP_IMAGE_ROOTS": str(photo.parent),
        "PYTHONWARNINGS": "ignore",
    }
    with (folder / "serve.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, *words], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "serve.log").read_text()
                time.sleep(0.5)
        status, answer = asked(port, base64.b64encode(photo.read_bytes()).decode())
        assert status == 200, answer
        by_path = asked(port, photo.name)
        assert by_path == (status, answer)
        assert sum(value for name, value in answer["predictions"][0].items() if name.startswith("p_")) == pytest.approx(
            1
        )
        torn = photo.with_name("torn.png")
        torn.write_bytes(photo.read_bytes()[:60])
        for image, told in (
            ("bm9uZQ==", "not an image"),
            ("/etc/host.conf", "folders that this server may read"),
            ("\0.png", "folders that this server may read"),
            (None, "is not a string"),
            (torn.name, "torn.png: broken image"),
        ):
            status, answer = asked(port, image)
            assert status == 400
            assert told in answer["message"]
            assert "row 0" in answer["message"]
            assert "stack_trace" not in answer
            assert str(photo.parent) not in answer["message"]
        torn.unlink()
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
