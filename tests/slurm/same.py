"""Whether two records of one run hold the same to the bit."""

import pandas as pd
import torch
from safetensors.numpy import load_file

from ordinalclip.runs.run import Run


def values_by_epoch(run: Run) -> dict[int, dict[str, float]]:
    """Logged values; of several lines for one epoch the last counts."""
    values: dict[int, dict[str, float]] = {}
    for line in run.metrics():
        values.setdefault(line["epoch"], {}).update(line["values"])
    return values


def assert_same(run: Run, other: Run) -> None:
    """Metrics, weights, predictions and rank features."""
    assert run.state() == other.state() == "finished"
    assert run.run_id == other.run_id
    assert values_by_epoch(run) == values_by_epoch(other)
    for name in ("best_checkpoint", "last_checkpoint"):
        one, two = (torch.load(getattr(r, name), weights_only=True) for r in (run, other))
        assert one["epoch"] == two["epoch"]
        assert one["state_dict"].keys() == two["state_dict"].keys()
        assert all(torch.equal(tensor, two["state_dict"][key]) for key, tensor in one["state_dict"].items()), name
    assert run.read_json("test_stats.json") == other.read_json("test_stats.json")
    pd.testing.assert_frame_equal(
        *(pd.read_parquet(r.directory / "predictions.parquet") for r in (run, other)), check_exact=True
    )
    one, two = (load_file(r.directory / "rank_features.safetensors") for r in (run, other))
    assert one.keys() == two.keys()
    assert all((one[key] == two[key]).all() for key in one)
