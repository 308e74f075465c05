from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ordinalclip
from ordinalclip.inference.model import RankModel
from ordinalclip.runs.run import Run
from tests.trained import train


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inference")


@pytest.fixture(scope="package")
def run(folder: Path) -> Run:
    """Its image tower is trained, so that a prediction needs the checkpoint and the weights; it has intervals."""
    words = ["trainable.image=1e-3", "trainable.logit_scale=1e-3", "backbone.projection=linear"]
    return train(folder, "dataset.images_per_rank=40", *words)


@pytest.fixture(scope="package")
def model(run: Run, folder: Path) -> RankModel:
    return ordinalclip.load(run.directory, device="cpu")


@pytest.fixture(scope="package")
def tested(run: Run) -> tuple[list[Path], np.ndarray]:
    """The run's test images, and the probabilities [N, R] that it recorded for them."""
    table = pd.read_parquet(run.directory / "predictions.parquet")
    root = Path((run.read_json("provenance.json") or {})["root"])
    return [root / path for path in table["path"]], np.stack(table["probs"])
