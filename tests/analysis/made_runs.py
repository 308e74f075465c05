"""Run directories made by hand: what a finished run's record holds, without training anything."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml


def made_run(
    root: Path,
    run_id: str,
    settings: Mapping[str, Any] | None = None,
    *,
    scores: Mapping[str, float] | None = None,
    status: str = "finished",
    labels: Mapping[str, Any] | None = None,
) -> Path:
    """A record with config.yaml, status, labels and scores.

    Args:
        root: of the runs.
        run_id: the directory is named by it.
        settings: `prompt.name` → value, on top of a few that every run has.
        scores: of test_stats.json.
        status: that it says of itself.
        labels: on top of sweep and tags.
    """
    directory = root / f"made-{run_id}"
    (directory / "attempts").mkdir(parents=True)
    every = {
        "seed": 0,
        "lr": 1e-3,
        "dataset.name": "digits",
        "backbone.name": "tiny",
        "prompt.name": "rank",
        "protocol.split.seed": 0,
        "protocol.readout": "expectation",
        "protocol.metric": "mae",
        "protocol.select_on": "val",
        "paths.runs": "runs",
    }
    config: dict[str, Any] = {}
    for key, value in (every | dict(settings or {})).items():
        *parents, leaf = key.split(".")
        node = config
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    (directory / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    write(directory, "status.json", {"status": status, "created": "2026-01-02T03:04:05+0000", "seconds": 1.5})
    write(directory, "labels.json", {"sweep": None, "tags": []} | dict(labels or {}))
    write(directory, "identity.json", {"seed": config["seed"], "prompt": {"name": "of the identity"}})
    if scores is not None:
        write(directory, "test_stats.json", dict(scores))
    return directory


def with_predictions(
    directory: Path,
    rank: Sequence[int] | np.ndarray,
    expectation: Sequence[float] | np.ndarray,
    *,
    num_ranks: int = 10,
    subject: Sequence[str] | None = None,
    first_image: int = 0,
    num_train: int = 80,
) -> Path:
    """Adds the tables of a test split whose predictions have these expectations [N]; test_stats.json gets their MAE."""
    rank, mean = np.asarray(rank), np.clip(np.asarray(expectation, dtype=float), 0, num_ranks - 1)
    below = np.minimum(mean.astype(int), num_ranks - 2)
    probs = np.zeros((len(rank), num_ranks), dtype=np.float64)
    probs[np.arange(len(rank)), below] = 1 - (mean - below)
    probs[np.arange(len(rank)), below + 1] = mean - below
    names = [f"{first_image + i:05}" for i in range(len(rank))]
    predictions = pd.DataFrame({"path": names, "sha256": names, "rank": rank, "argmax": probs.argmax(1)})
    predictions["expectation"] = mean
    predictions["probs"] = list(probs.astype(np.float32))
    predictions.to_parquet(directory / "predictions.parquet")
    train = [f"t{i}" for i in range(num_train)]
    manifest = pd.DataFrame({"path": names + train, "sha256": names + train})
    manifest["rank"] = [*map(int, rank), *(0 for _ in train)]
    manifest["value"] = manifest["rank"].astype(float)
    manifest["subject"] = pd.Series([*(subject or [None] * len(names)), *([None] * len(train))], dtype="str")
    manifest["group"] = pd.Series([None] * len(manifest), dtype="str")
    manifest["split"] = ["test"] * len(names) + ["train"] * len(train)
    manifest.to_parquet(directory / "manifest.parquet")
    values = [float(value) for value in range(num_ranks)]
    write(
        directory,
        "ranks.json",
        {"names": [str(value) for value in range(num_ranks)], "values": values, "unit": "ranks"},
    )
    write(directory, "test_stats.json", {"test/mae": float(np.abs(mean - rank).mean()), "test/num_images": len(rank)})
    return directory


def write(directory: Path, name: str, content: object) -> None:
    """A JSON file of a record."""
    (directory / name).write_text(json.dumps(content), encoding="utf-8")
