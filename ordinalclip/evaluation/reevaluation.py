"""Evaluation of a finished run on any data: scores, predictions, and the overlap with the data that it was fitted on.

The overlap is counted and reported, since images or subjects that the run was fitted on make its scores too good.
"""

import logging
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ordinalclip.calibration.calibration import coverage_stats, score_calibration
from ordinalclip.datasets.manifest import CALIBRATION, Manifest, unit_note
from ordinalclip.evaluation.evaluation import evaluate_split
from ordinalclip.preparation.prepare import Job
from ordinalclip.preparation.reopen import Record, load_run
from ordinalclip.runs.run import Run
from ordinalclip.scoring.details import details
from ordinalclip.scoring.predictions import from_manifest
from ordinalclip.system.distributed import best_device
from ordinalclip.training.batches import evaluation_loader
from ordinalclip.training.split_data import SplitData

FITTED = ("train", "val", CALIBRATION)

log = logging.getLogger(__name__)


def fitted_images(run: Run) -> pd.DataFrame | None:
    """Hash, rank, subject and split of the images that a run was fitted on; None for imported runs."""
    file = run.directory / "manifest.parquet"
    if not file.is_file():
        return None
    table = pd.read_parquet(file, columns=["sha256", "rank", "subject", "split"])
    return table[table["split"].isin(FITTED)]


def overlap(
    fitted: pd.DataFrame | None, manifest: Manifest, images: Iterable[str], *, same_set: bool
) -> dict[str, int]:
    """Counts the images that a run was fitted on.

    Args:
        fitted: from `fitted_images`.
        manifest: the evaluated data set.
        images: SHA-256 of the evaluated images.
        same_set: whether the run was fitted on the same data set, so that equal subject ids mean the same subject.

    Returns:
        `num_trained_on`: images whose bytes are in the run's train split; `num_chosen_on`: in its val or calibration
        split; `num_of_trained_subjects`: other images of subjects in its train split, if subjects are comparable.
    """
    evaluated = manifest.table[manifest.table["sha256"].isin(set(images))]
    if fitted is None:
        return {"num_trained_on": 0, "num_chosen_on": 0}
    training = fitted["split"] == "train"
    trained = evaluated["sha256"].isin(fitted["sha256"][training])
    chosen = evaluated["sha256"].isin(fitted["sha256"][~training]) & ~trained
    found = {"num_trained_on": int(trained.sum()), "num_chosen_on": int(chosen.sum())}
    subjects = fitted["subject"][training].dropna()
    if same_set and len(subjects):
        found["num_of_trained_subjects"] = int((evaluated["subject"].isin(subjects) & ~trained).sum())
    return found


def overlap_messages(found: dict[str, int], number: int) -> list[str]:
    """One message for each count of `overlap` above 0."""
    words = {
        "num_trained_on": "were trained on",
        "num_chosen_on": "are of the val split that chose the epoch or fitted the intervals",
        "num_of_trained_subjects": "show subjects that were trained on",
    }
    return [f"{found[key]} of these {number} images {text}" for key, text in words.items() if found.get(key, 0) > 0]


def evaluate_record(record: Record, manifest: Manifest, split: str) -> tuple[dict[str, float], pd.DataFrame]:
    """Scores, named `<split>/<name>`, and a table of predictions with one row per image.

    Args:
        record: record of a finished run.
        manifest: data with the ranks of the run.
        split: a split of the manifest, or "all".
    """
    import torch

    model = load_run(record)
    cfg = record.cfg | {"augment": False}
    data = SplitData(Job(cfg, manifest, record.weights, record.identity, record.run), model.backbone)
    device = torch.device("cpu") if cfg["trainer"]["accelerator"] == "cpu" else best_device()
    loader = evaluation_loader(data.split(split), None, cfg["num_workers"])
    fitted = fitted_images(record.run)
    train_rank = None if fitted is None else fitted["rank"][fitted["split"] == "train"].to_numpy()
    readout = cfg["protocol"]["readout"]
    stats, predictions = evaluate_split(model, loader, device, manifest, split, train_rank, readout)
    calibration = record.run.read_json("calibration.json")
    if (
        calibration is not None
    ):  # coverage of the run's intervals; it is guaranteed only for images like the calibration images
        answers = from_manifest(predictions, manifest, cfg["protocol"])
        covered = coverage_stats(score_calibration(calibration, answers))
        stats |= {f"{split}/{name}": value for name, value in covered.items()}
    stats[f"{split}/num_images"] = len(predictions)
    for message in unit_note(manifest, record.unit):
        log.warning("%s", message)
    if split not in FITTED:
        same_set = (record.run.read_json("labels.json") or {}).get("dataset") == record.cfg["dataset"].get("name")
        found = overlap(fitted, manifest, predictions["sha256"], same_set=same_set)
        stats |= {f"{split}/{name}": number for name, number in found.items()}
        for message in overlap_messages(found, len(predictions)):
            log.warning("%s", message)
    return stats, predictions


def save_evaluation(
    record: Record, manifest: Manifest, split: str, stats: dict[str, float], predictions: pd.DataFrame
) -> Path:
    """Writes `evaluations/<data set>-<split>-<hash of the data>/` in the run directory; returns its path.

    It has `predictions.parquet`, `stats.json`, and `details.json` with the keys of a run's `test_details.json`.

    Raises:
        Busy: another process has claimed the run.
        ConfigError: the directory cannot be written to.
    """
    run, labels = record.run, record.run.read_json("labels.json") or {}
    stamp = {key: labels[key] for key in ("selected_on",) if key in labels}
    readable = re.sub(r"[^\w.+-]+", "_", manifest.name)
    name = f"evaluations/{readable}-{split}-{manifest.content_hash[:8]}"
    run.claim()
    try:
        run.publish(f"{name}/predictions.parquet", predictions.to_parquet)
        run.write_json(f"{name}/details.json", details(from_manifest(predictions, manifest, record.cfg["protocol"])))
        run.write_json(
            f"{name}/stats.json", stats | {"manifest": manifest.content_hash, "root": str(manifest.root)} | stamp
        )
    finally:
        run.release("evaluated")
    return run.directory / name
