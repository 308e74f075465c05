"""The figures of a finished run, drawn from its record alone: without torch, at any time, when somebody looks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from ordinalclip.figures import confusion_figure, similarity_figure
from ordinalclip.runs import Run


def has_figures(run: Run) -> bool:
    """Whether a run's figures have been drawn."""
    return (run.directory / "figures" / "confusion.png").exists()  # the last one


def draw_figures(run: Run, rank_names: Sequence[str]) -> None:
    """Draws `figures/similarity` (rank features before training and at the best epoch) and `figures/confusion` (test).

    Args:
        run: a run whose test is over.
        rank_names: one for each of the R ranks.
    """
    folder = run.directory / "figures"
    features = load_file(run.directory / "rank_features.safetensors")
    ordinality = run.read_json("ordinality.json")
    similarity_figure(
        features.get("before"),
        features["rank_features"],
        rank_names,
        folder / "similarity",
        ordinality_before=ordinality["before"]["score"] if "before" in ordinality else None,
        ordinality_after=ordinality["best"]["score"],
    )
    if run.read_json("test_stats.json") is None:  # imported, and tested on no data
        return
    predictions = pd.read_parquet(run.directory / "predictions.parquet", columns=["rank", "argmax"])
    counts_RR = np.zeros((len(rank_names), len(rank_names)), dtype=np.int64)
    np.add.at(counts_RR, (predictions["rank"].to_numpy(), predictions["argmax"].to_numpy()), 1)
    confusion_figure(counts_RR, rank_names, folder / "confusion", title="test, argmax")
