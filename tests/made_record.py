"""A finished run's record without a run: predictions, rank features, epochs and images, for what reads records."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from PIL import Image
from safetensors.numpy import save_file

from ordinalclip.evaluation.evaluation import constant_baseline
from ordinalclip.runs.run import Run
from ordinalclip.scoring.details import details
from ordinalclip.scoring.ordinality import logged_ordinality, ordinality_of_features
from ordinalclip.scoring.predictions import from_tables
from ordinalclip.scoring.scores import compute_scores
from tests.metrics.ranks import arc, random_features

COLOURS = ("red", "green")


def made_record(
    folder: Path, cfg: dict[str, Any], *, num_ranks: int, num_images: int = 60, names: list[str] | None = None
) -> Run:
    """Writes the record of a run named `made-0123456789` below a folder; the first image's file is missing.

    Args:
        folder: for the run's directory and the images.
        cfg: a configuration as the command line composes it.
        num_ranks: R.
        num_images: N of the test split; ranks take turns.
        names: of the ranks; None: their numbers.
    """
    rng = np.random.default_rng(0)
    run = Run(folder / "made-0123456789")
    (run.directory / "attempts").mkdir(parents=True)
    names = [str(rank) for rank in range(num_ranks)] if names is None else names
    ranks = {"names": names, "values": list(range(num_ranks)), "unit": "year"}
    rank = np.arange(num_images) % num_ranks
    guess = rank[:, None] + rng.normal(size=(num_images, 1))
    logits = -np.abs(guess - np.arange(num_ranks)) + rng.random((1, num_ranks))
    probs = np.float32(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    colour = [COLOURS[index % 2] for index in range(num_images)]
    paths = [f"{index}.png" for index in range(num_images)]
    for path, one in zip(paths[1:], colour[1:], strict=True):
        Image.new("RGB", (20, 12), one).save(folder / path)
    rows = pd.DataFrame({"path": paths, "rank": rank, "split": "test", "colour": colour})
    rows[["value", "subject", "group"]] = [0.0, None, None]
    rows["value"] = rank.astype(float)
    predictions = from_tables(probs, rows, ranks, cfg["protocol"]["readout"])
    answers = {
        "argmax": probs.argmax(axis=1),
        "expectation": probs @ np.arange(num_ranks),
        "median": (probs.cumsum(axis=1) < 0.5).sum(axis=1).clip(max=num_ranks - 1),
    }
    pd.DataFrame({"path": paths, "rank": rank} | answers | {"probs": list(probs)}).to_parquet(
        run.directory / "predictions.parquet"
    )
    rows.to_parquet(run.directory / "manifest.parquet")
    constant = {f"constant_{name}": value for name, value in constant_baseline(rank, rank, ranks["values"]).items()}
    stats = {f"test/{name}": value for name, value in (compute_scores(predictions) | constant).items()}
    features = {"before": random_features(num_ranks, 8), "best": arc(num_ranks)}
    ordinality = ordinality_of_features(features)
    stored = {"before": features["before"], "rank_features": features["best"]}
    save_file({name: np.float32(array) for name, array in stored.items()}, run.directory / "rank_features.safetensors")
    lines = [
        {"epoch": epoch, "step": epoch, "time_ms": epoch, "values": values | logged_ordinality(ordinality["best"])}
        for epoch, values in enumerate(
            [
                {"train/loss": 3.0, "val/mae": 2.0},
                {"train/loss": 2.0, "val/mae": 1.0},
                {"train/loss": 1.0, "val/mae": 1.5},
            ]
        )
    ]
    (run.directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run.directory / "config.yaml").write_text(yaml.safe_dump(cfg))
    leakage = {"subjects": {"known": 0}, "duplicates": {"known": num_images, "test_images": 7, "test_rate": 0.125}}
    for name, content in {
        "ranks": ranks,
        "test_stats": stats | {"test/num_images": num_images},
        "test_details": details(predictions),
        "ordinality": ordinality,
        "leakage": leakage,
        "overrides": ["prompt=rank", "lr=2e-3"],
        "identity": {},
        "labels": {},
        "provenance": {"root": str(folder), "code": {"version": "0.1.0", "git": "abcdef0123456789"}, "host": "here"},
        "status": {"status": "finished", "epochs": 3, "epoch": 3, "seconds": 12.0},
    }.items():
        (run.directory / f"{name}.json").write_text(json.dumps(content))
    return run
