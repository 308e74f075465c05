import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from ordinalclip.runs.run import Run, find_runs
from tests import warm
from tests.conftest import Compose

EPOCHS, KILLED_EPOCH = 6, 4


def run(cfg: dict[str, Any], folder: Path, *, kill_at: tuple[int, int] | None = None) -> int:
    path = folder / "cfg.json"
    path.write_text(json.dumps(cfg))
    place = [str(number) for number in kill_at] if kill_at is not None else []
    return warm.run("tests.interrupted_run", str(path), *place).returncode


def values_by_epoch(run: Run) -> dict[int, dict[str, float]]:
    """The last line of an epoch counts."""
    return {line["epoch"]: line["values"] for line in run.metrics()}


@pytest.mark.slow
@pytest.mark.parametrize(("num_workers", "stored"), [(0, True), (2, False)])  # what is stored needs no workers
def test_a_killed_and_moved_run_ends_as_if_nothing_had_happened(
    compose_cfg: Compose, tmp_path: Path, num_workers: int, stored: bool
) -> None:
    cfg = compose_cfg(
        f"epochs={EPOCHS}",
        f"num_workers={num_workers}",
        f"cache.images={str(stored).lower()}",
        f"paths.cache={tmp_path / 'cache'}",
        "trainable.image=1e-3",  # augmented images, BatchNorm-free tower, dropout from interrupted_run
        "trainable.rank=0.05",
        "schedule=constant",
        "optimizer=adam",
        "seed=3",
    )
    assert run(cfg, tmp_path) == 0
    assert (tmp_path / "cache" / "images").exists() == stored
    (whole,) = find_runs(Path(cfg["paths"]["runs"]))

    cut = cfg | {"paths": cfg["paths"] | {"runs": str(tmp_path / "cut")}}
    assert run(cut, tmp_path, kill_at=(KILLED_EPOCH, 1)) == -9
    (killed,) = find_runs(tmp_path / "cut")
    assert killed.state() == "interrupted"
    assert killed.status()["epoch"] == KILLED_EPOCH
    # The kill comes after the best epoch, so that a resume that forgot it would put a later one in its place.
    mae = {epoch: values["val/mae"] for epoch, values in values_by_epoch(whole).items() if epoch < EPOCHS}
    best_epoch = min(mae, key=lambda epoch: mae[epoch])
    assert best_epoch < KILLED_EPOCH - 1

    shutil.move(tmp_path / "cut", tmp_path / "moved")
    moved = cfg | {"paths": cfg["paths"] | {"runs": str(tmp_path / "moved")}}
    assert run(moved, tmp_path) == 0
    (resumed,) = find_runs(tmp_path / "moved")
    assert resumed.state() == "finished"
    assert resumed.status()["attempt"] == 2
    assert resumed.run_id == whole.run_id

    assert values_by_epoch(resumed) == values_by_epoch(whole)
    for name in ("best_checkpoint", "last_checkpoint"):
        one, other = (torch.load(getattr(r, name), weights_only=True) for r in (whole, resumed))
        assert one["epoch"] == other["epoch"]
        assert one["state_dict"].keys() == other["state_dict"].keys()
        for key, tensor in one["state_dict"].items():
            assert torch.equal(tensor, other["state_dict"][key]), (name, key)
    assert torch.load(whole.best_checkpoint, weights_only=True)["epoch"] == best_epoch
    assert whole.read_json("test_stats.json") == resumed.read_json("test_stats.json")
    one, other = (pd.read_parquet(r.directory / "predictions.parquet") for r in (whole, resumed))
    pd.testing.assert_frame_equal(one, other)
