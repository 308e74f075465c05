"""The fit itself: a model, its data and its settings in, a trained module out, in each process that takes part."""

from collections.abc import Sequence

import lightning.pytorch as pl
import torch
from torch import nn

from ordinalclip.batches import evaluation_loader, training_loader
from ordinalclip.build import build
from ordinalclip.callbacks import checkpoint_to_resume
from ordinalclip.determinism import told_refusals
from ordinalclip.errors import ConfigError
from ordinalclip.label_draw import LabelDraw
from ordinalclip.metrics.collection import RankMetrics
from ordinalclip.model import OrdinalCLIP
from ordinalclip.module import OrdinalModule
from ordinalclip.optim import build_optimizer, build_scheduler
from ordinalclip.prepare import Job
from ordinalclip.samplers import EpochSampler
from ordinalclip.split_data import SplitData
from ordinalclip.team import Team
from ordinalclip.trainer import build_trainer


def train_share(
    job: Job, model: OrdinalCLIP, data: SplitData, team: Team, callbacks: Sequence[pl.Callback]
) -> OrdinalModule:
    """Trains a model from the run's last checkpoint or from the start, on this process's share of every batch.

    Args:
        job: a checked job.
        model: with what is frozen frozen.
        data: the splits.
        team: the processes that do so together.
        callbacks: what else happens; the record is kept by one process's callbacks alone.
    """
    cfg = job.cfg
    train = data.split("train")
    sampler = EpochSampler(len(train), cfg["batch_size"], cfg["seed"])
    schedule = build(cfg["schedule"], "schedule")
    if team.size > 1:
        model.backbone.image = nn.SyncBatchNorm.convert_sync_batchnorm(model.backbone.image)
    module = OrdinalModule(
        model,
        loss=build(cfg["loss"], "loss"),
        build_optimizer=lambda: build_optimizer(cfg["optimizer"], model, cfg["trainable"], cfg["image_rates"]),
        build_scheduler=lambda optimizer: build_scheduler(optimizer, schedule, cfg["epochs"]),
        metrics=RankMetrics(job.manifest.num_ranks, job.manifest.rank_values),
        sampler=sampler,
        seed=cfg["seed"],
        targets=_targets(job),
        paths=job.manifest.table["path"].tolist(),
        team=team,
    )
    trainer = build_trainer(
        **{k: v for k, v in cfg["trainer"].items() if k != "_target_"},
        run_directory=job.run.directory,
        max_epochs=cfg["epochs"],
        callbacks=callbacks,
        team=team,
    )
    module.train()  # frozen parts stay in eval mode; Lightning would train in whatever mode it finds
    with told_refusals():
        trainer.fit(
            module,
            training_loader(train, sampler, cfg["num_workers"], team),
            # Logged as val/ in any case: the split that an epoch is chosen on, which published protocols let be test.
            evaluation_loader(data.split(cfg["protocol"]["select_on"]), None, cfg["num_workers"], team),
            ckpt_path=checkpoint_to_resume(job.run),
            weights_only=True,
        )
    return module


def check_statistics(model: OrdinalCLIP, devices: int) -> None:
    """Refuses what several CPUs cannot do as one: statistics of a whole batch.

    Raises:
        ConfigError: BatchNorm is trained on several CPUs; torch gathers its statistics on GPUs only.
    """
    norms = (part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm))
    trained = any(parameter.requires_grad for norm in norms for parameter in norm.parameters())
    if devices > 1 and trained and not torch.cuda.is_available():
        problem = "the image tower's BatchNorm would be trained on each process's share of a batch"
        raise ConfigError("trainer.devices", devices, problem, remedy="GPUs, trainer.devices=1 or trainable.image=null")


def _targets(job: Job) -> LabelDraw | None:
    how = job.cfg["label_draw"]
    return None if how == "median" else LabelDraw(job.manifest, how, job.cfg["seed"])
