"""A reopened run on data: its scores and predictions, and where they are kept."""

import logging
import re
from pathlib import Path

import pandas as pd

from ordinalclip.batches import evaluation_loader
from ordinalclip.calibration.record import score_calibration, stats_of
from ordinalclip.datasets.manifest import Manifest
from ordinalclip.datasets.match import unit_note
from ordinalclip.evaluation import evaluate_split
from ordinalclip.fit import best_device
from ordinalclip.metrics.details import details
from ordinalclip.overlap import FITTED, fitted_images, overlap, overlap_told
from ordinalclip.predictions import of_manifest
from ordinalclip.prepare import Job
from ordinalclip.reopen import Record, load_run
from ordinalclip.split_data import SplitData

log = logging.getLogger(__name__)


def evaluate_again(record: Record, manifest: Manifest, split: str) -> tuple[dict[str, float], pd.DataFrame]:
    """Scores, each `<split>/<name>`, and a table of predictions, one row an image.

    Args:
        record: of a finished run.
        manifest: data with the run's ranks.
        split: one of the manifest's, or "all".
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
    if calibration is not None:  # the run's own intervals, on whatever images: they promise nothing for others
        answers = of_manifest(predictions, manifest, cfg["protocol"])
        covered = stats_of(score_calibration(calibration, answers))
        stats |= {f"{split}/{name}": value for name, value in covered.items()}
    stats[f"{split}/num_images"] = len(predictions)
    for told in unit_note(manifest, record.unit):
        log.warning("%s", told)
    if split not in FITTED:  # of which it is known
        same_set = (record.run.read_json("labels.json") or {}).get("dataset") == record.cfg["dataset"].get("name")
        found = overlap(fitted, manifest, predictions["sha256"], same_set=same_set)
        stats |= {f"{split}/{name}": number for name, number in found.items()}
        for told in overlap_told(found, len(predictions)):
            log.warning("%s", told)
    return stats, predictions


def save_evaluation(
    record: Record, manifest: Manifest, split: str, stats: dict[str, float], predictions: pd.DataFrame
) -> Path:
    """Writes `evaluations/<data set>-<split>-<hash of the data>/` below a run's directory; returns it.

    It has `predictions.parquet`, `stats.json`, and `details.json`, which is like a run's `test_details.json`.

    Raises:
        Busy: another process works on the run.
        ConfigError: the directory cannot be written to.
    """
    run, labels = record.run, record.run.read_json("labels.json") or {}
    stamp = {key: labels[key] for key in ("selected_on",) if key in labels}
    readable = re.sub(r"[^\w.+-]+", "_", manifest.name)
    name = f"evaluations/{readable}-{split}-{manifest.content_hash[:8]}"
    run.claim()
    try:
        run.publish(f"{name}/predictions.parquet", predictions.to_parquet)
        run.write_json(f"{name}/details.json", details(of_manifest(predictions, manifest, record.cfg["protocol"])))
        run.write_json(
            f"{name}/stats.json", stats | {"manifest": manifest.content_hash, "root": str(manifest.root)} | stamp
        )
    finally:
        run.release("evaluated")
    return run.directory / name
