"""Fits one run and tests it. Reads top to bottom in the order in which things happen."""

import logging
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ordinalclip.calibration.calibration import calibration_record, coverage_stats
from ordinalclip.config.identity import selection_metric
from ordinalclip.datasets.leakage import leakage_metrics
from ordinalclip.datasets.manifest import CALIBRATION
from ordinalclip.evaluation.evaluation import evaluate_split, ordinality_record, save_rank_features
from ordinalclip.metrics.names import shown
from ordinalclip.model import OrdinalCLIP
from ordinalclip.optimizers.parameter_groups import build_optimizer, freeze
from ordinalclip.preparation.build import build_model, initial_state_dict
from ordinalclip.preparation.prepare import Job
from ordinalclip.scoring.details import details, jsonable
from ordinalclip.scoring.ordinality import logged_ordinality
from ordinalclip.scoring.predictions import Predictions, from_manifest, predictions_file
from ordinalclip.system.distributed import World, best_device
from ordinalclip.system.interruption import check_stop
from ordinalclip.tracking import Mirror
from ordinalclip.training.batches import evaluation_loader
from ordinalclip.training.callbacks import EpochRecord, ProgressBar, RememberException, StopOnSignal
from ordinalclip.training.loop import check_accelerator, check_batch_norm, speed_up, train_model
from ordinalclip.training.module import OrdinalModule
from ordinalclip.training.processes import check_devices, worker_processes
from ordinalclip.training.split_data import SealedTestLabels, SplitData

log = logging.getLogger(__name__)


def fit(job: Job, mirror: Mirror) -> None:
    """Trains a claimed run from its last checkpoint or from the start, then tests its best epoch.

    Args:
        job: a checked job whose run is claimed.
        mirror: copies the record to a tracking store; its failures do not stop the run.
    """
    cfg, run = job.cfg, job.run
    check_devices(cfg)
    check_accelerator(cfg["trainer"]["accelerator"], cfg["trainer"].get("precision", "32-true"))
    mirror.sync(run, final=False)  # shows the run as running
    seal = SealedTestLabels(job.manifest, closed=cfg["protocol"]["select_on"] != "test")
    job = replace(job, manifest=seal.manifest)
    model = _model_to_train(job)
    data = SplitData(job, model.backbone, seal)
    device = torch.device("cpu") if cfg["trainer"]["accelerator"] == "cpu" else best_device()
    before_RD = _rank_features(model, device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    where = {"device": name, "threads": torch.get_num_threads()}  # results are bit-identical for equal ones only
    run.set_status("running", **where)
    # begin_record keeps the provenance of earlier attempts, should the run be resumed on another machine.
    run.write_json("provenance.json", (run.read_json("provenance.json") or {}) | where)

    if any(parameter.requires_grad for parameter in model.parameters()):
        check_batch_norm(model, cfg["trainer"].get("devices", 1))
        module = _train(job, model, data, mirror)
        module.load_state_dict(torch.load(run.best_checkpoint, map_location="cpu", weights_only=True)["state_dict"])
    else:
        log.info("nothing to train: all parts of the model are frozen; it is tested without training")
        if model.initialised:
            run.publish("ckpt/best.ckpt", partial(torch.save, {"state_dict": initial_state_dict(model)}))

    after_RD = _rank_features(model, device)
    save_rank_features(run, before_RD, after_RD)
    record = ordinality_record(before_RD, after_RD)
    run.write_json("ordinality.json", record)
    readout = cfg["protocol"]["readout"]
    manifest = seal.open()  # test labels can be read from here on
    answers: dict[str, Predictions] = {}
    for split in ("val", CALIBRATION, "test"):
        rows = data.split(split)
        if len(rows) == 0:  # there is no val split if the epoch is selected on test
            continue
        loader = evaluation_loader(rows, None, cfg["num_workers"])
        stats, predictions = evaluate_split(model, loader, device, manifest, split, readout=readout)
        answers[split] = from_manifest(predictions, manifest, cfg["protocol"])
        if split == "test":
            fitted_on = answers.get(CALIBRATION, from_manifest(predictions[:0], manifest, cfg["protocol"]))
            calibration = calibration_record(fitted_on, answers["test"], alpha=cfg["alpha"])
            run.write_json("calibration.json", jsonable(calibration))
            stats |= {f"test/{name}": value for name, value in coverage_stats(calibration).items()}
            run.write_json("test_details.json", details(answers["test"]))
        run.write_json(f"{split}_stats.json", stats | {f"{split}/num_images": len(predictions)})
        run.publish(predictions_file(split), predictions.to_parquet)
        if split == "test":
            # A few scores are logged, to keep MLflow's table readable; the files have all of them.
            scores = {k: v for k, v in stats.items() if np.isfinite(v) and shown(k.removeprefix("test/"), readout)}
            leaks = leakage_metrics(run.read_json("leakage.json") or {})
            values = scores | logged_ordinality(record["best"]) | leaks
            run.log_metrics(values, epoch=cfg["epochs"], step=0)


def _model_to_train(job: Job) -> OrdinalCLIP:
    model, cfg = build_job_model(job), job.cfg
    freeze(model, cfg["trainable"])
    if any(parameter.requires_grad for parameter in model.parameters()):
        # Only to raise errors, such as for an unknown layer of the image tower, before images are decoded.
        build_optimizer(cfg["optimizer"], model, cfg["trainable"], cfg["image_rates"])
    if cfg["trainable"]["image"] is not None:
        speed_up(model.backbone.image, compiled=cfg["compile"])
    return model


def build_job_model(job: Job) -> OrdinalCLIP:
    """The model of a job: initial values are drawn from its seed, then those of `init` are copied."""
    return build_model(job.cfg, job.weights, job.manifest.rank_names, job.initial)


def _rank_features(model: OrdinalCLIP, device: torch.device) -> Tensor:
    # Not moved in inference mode: towers are shared with later runs, which cannot train inference tensors.
    model.eval().to(device)
    with torch.inference_mode():
        return model.rank_features().cpu()


def _train(job: Job, model: OrdinalCLIP, data: SplitData, mirror: Mirror) -> OrdinalModule:
    run, (score, largest) = job.run, selection_metric(job.cfg)
    interrupted = RememberException()
    callbacks = [
        interrupted,
        StopOnSignal(),
        EpochRecord(run, score, largest=largest, after_epoch=lambda: mirror.sync(run, final=False)),
        ProgressBar(score, label=run.directory.name.rpartition("-")[0]),
    ]
    if job.cfg["trainer"].get("devices", 1) > 1:
        for split in ("train", job.cfg["protocol"]["select_on"]):
            data.split(split)  # fills the caches, from which the workers read
    try:
        with worker_processes(job, train_in_worker) as world:
            return train_model(job, model, data, world, callbacks)
    except SystemExit:
        if isinstance(interrupted.cause, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        check_stop()  # Lightning raises SystemExit on SIGTERM
        raise


def train_in_worker(job: Job, world: World) -> None:
    """The part of a fit that processes other than process 0 run: training alone.

    Args:
        job: the same in all processes; process 0 has claimed its run.
        world: the rank of this process, and their number.
    """
    seal = SealedTestLabels(job.manifest, closed=job.cfg["protocol"]["select_on"] != "test")
    job = replace(job, manifest=seal.manifest)
    model = _model_to_train(job)
    train_model(job, model, SplitData(job, model.backbone, seal), world, [])
