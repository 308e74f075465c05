"""Evaluation of a fitted model on one split: predictions, scores, scores of a constant predictor, recorded files."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from ordinalclip.datasets.manifest import Manifest
from ordinalclip.metrics.readout import argmax, expectation, median, rounded_expectation
from ordinalclip.model import OrdinalCLIP
from ordinalclip.runs.run import Run
from ordinalclip.scoring.ordinality import ordinality_of_features
from ordinalclip.scoring.predictions import from_tables
from ordinalclip.scoring.scores import compute_scores
from ordinalclip.system.interruption import check_stop
from ordinalclip.training.batches import Batch

Ranks = Sequence[int] | npt.NDArray[np.integer]


def constant_baseline(train_rank: Ranks, rank: Ranks, rank_values: Sequence[float]) -> dict[str, float]:
    """Metrics of a constant predictor, by the names of `RankMetrics`.

    Errors are those of the training split's median rank (the lower of two), the best constant there; accuracies are
    those of its most frequent rank (the lowest of several). `qwk` and `spearman` of a constant are 0.

    Args:
        train_rank: ranks of the training split.
        rank: ranks to predict, of the validation or test split.
        rank_values: the value of each rank, R numbers.

    Returns:
        `mae`, `mae_value`, `accuracy`, `accuracy_within_1`, `qwk`, `spearman`, and the two constants `median_rank` and
        `majority_rank`. Means over no images are nan.

    Raises:
        ValueError: the training split is empty.
    """
    train, true = np.asarray(train_rank, dtype=np.int64), np.asarray(rank, dtype=np.int64)
    values = np.asarray(rank_values, dtype=np.float64)
    if train.size == 0:
        raise ValueError("the constant predictor needs training ranks")
    median = int(np.sort(train)[(train.size - 1) // 2])
    majority = int(np.bincount(train, minlength=len(values)).argmax())
    return {
        "mae": _mean(np.abs(true - median)),
        "mae_value": _mean(np.abs(values[true] - values[median])),
        "accuracy": _mean(true == majority),
        "accuracy_within_1": _mean(np.abs(true - majority) <= 1),
        "qwk": 0.0,
        "spearman": 0.0,
        "median_rank": float(median),
        "majority_rank": float(majority),
    }


def _mean(numbers: npt.NDArray[np.number | np.bool_]) -> float:
    return float(numbers.mean()) if numbers.size > 0 else float("nan")


def predict(model: OrdinalCLIP, loader: Iterable[Batch], device: torch.device) -> tuple[Tensor, Tensor]:
    """Probabilities [N, R] of all items and their rows in the manifest [N], on the CPU. Text is encoded once."""
    model.eval().to(device)  # not in inference mode: towers are shared with later runs
    probs, rows = [], []
    with torch.inference_mode():
        rank_features_RD = model.rank_features()
        for batch in loader:
            check_stop()
            moved = batch.to(device)
            logits_BR = model(images=moved.images, features=moved.features, rank_features=rank_features_RD).logits
            probs.append(logits_BR.float().softmax(-1).cpu())
            rows.append(batch.row)
    return torch.cat(probs), torch.cat(rows)


def evaluate_split(
    model: OrdinalCLIP,
    loader: DataLoader[Batch],
    device: torch.device,
    manifest: Manifest,
    split: str,
    train_rank: np.ndarray | None = None,
    readout: str = "expectation",
) -> tuple[dict[str, float], pd.DataFrame]:
    """Metrics of a split, named `<split>/<name>`, and a table of predictions with one row per image.

    Metrics of the constant predictor are named `<split>/constant_<name>`. If some ranks of the split, but not all, are
    training ranks, `<split>/mae_seen` and `<split>/mae_unseen` are added. Without training ranks none of these are.

    Args:
        model: see `predict`.
        loader: batches of the split.
        device: device of the model.
        manifest: its rows are those that the batches name.
        split: prefix of the names.
        train_rank: training ranks [N]; None: those of the manifest's train split.
        readout: the readout of the protocol.
    """
    probs_NR, rows_N = predict(model, loader, device)
    table = manifest.table.iloc[rows_N.numpy()]
    rank = table["rank"].to_numpy()
    stats = compute_scores(from_tables(probs_NR.numpy(), table, manifest.ranks(), readout))
    if train_rank is None:
        train_rank = manifest.table.loc[manifest.table["split"] == "train", "rank"].to_numpy()
    if len(train_rank) > 0:
        constant = constant_baseline(train_rank, rank, manifest.rank_values)
        stats |= {f"constant_{name}": value for name, value in constant.items()}
        stats |= _of_unseen_ranks(probs_NR, rank, train_rank)
    predictions = pd.DataFrame(
        {
            "path": table["path"].to_numpy(),
            "sha256": table["sha256"].to_numpy(),
            "rank": rank,
            "argmax": argmax(probs_NR).numpy(),
            "expectation": expectation(probs_NR).numpy(),
            "median": median(probs_NR).numpy(),
            "rounded_expectation": rounded_expectation(probs_NR).numpy(),
            "probs": list(probs_NR.numpy().astype(np.float32)),
        }
    )
    return {f"{split}/{name}": value for name, value in stats.items()}, predictions


def _of_unseen_ranks(probs_NR: Tensor, rank_N: np.ndarray, train_rank: np.ndarray) -> dict[str, float]:
    """MAE of the expectation for training ranks and for other ranks; empty unless the split has both."""
    seen_N = np.isin(rank_N, train_rank)
    if seen_N.all() or not seen_N.any():
        return {}
    error_N = np.abs(expectation(probs_NR).numpy() - rank_N)
    return {"mae_seen": float(error_N[seen_N].mean()), "mae_unseen": float(error_N[~seen_N].mean())}


def ordinality_record(before: Tensor | None, after: Tensor) -> dict[str, Any]:
    """All ordinality scores of rank features [R, D], before training (if known) and at the best epoch."""
    stages = {} if before is None else {"before": before}
    return ordinality_of_features({name: tensor.float().cpu() for name, tensor in (stages | {"best": after}).items()})


def save_rank_features(run: Run, before: Tensor | None, after: Tensor) -> None:
    """Writes rank_features.safetensors: `rank_features` [R, D] of the best epoch, and `before` training."""
    tensors = {"rank_features": after.float().cpu().contiguous()}
    if before is not None:
        tensors["before"] = before.float().cpu().contiguous()
    run.publish("rank_features.safetensors", lambda draft: save_file(tensors, draft))
