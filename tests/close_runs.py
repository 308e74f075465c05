"""Whether two runs of one id, on one process and on several, came to the same. Used by test_ddp.py and tests/slurm."""

import numpy as np
import pandas as pd
import pytest
import torch

from ordinalclip.runs.run import Run


def assert_close(one: Run, other: Run) -> None:
    """Metrics and weights to 1e-5, predictions to 1e-4."""
    assert one.directory.name == other.directory.name  # the batch size is of all devices: it is one and the same run
    lines = [list(run.metrics()) for run in (one, other)]
    assert [line["epoch"] for line in lines[0]] == [line["epoch"] for line in lines[1]]
    for left, right in zip(*lines, strict=True):
        assert left["step"] == right["step"]
        assert left["values"] == pytest.approx(right["values"], rel=1e-5, abs=1e-6)
    for name in ("best_checkpoint", "last_checkpoint"):
        states = [torch.load(getattr(run, name), weights_only=True)["state_dict"] for run in (one, other)]
        assert states[0].keys() == states[1].keys()
        for key in states[0]:
            torch.testing.assert_close(states[0][key], states[1][key], rtol=1e-5, atol=1e-6, msg=key)
    tables = [pd.read_parquet(run.directory / "predictions.parquet") for run in (one, other)]
    assert tables[0]["path"].tolist() == tables[1]["path"].tolist()
    assert np.abs(tables[0]["expectation"] - tables[1]["expectation"]).max() < 1e-4
    assert (one.read_json("test_stats.json") or {}).keys() == (other.read_json("test_stats.json") or {}).keys()
