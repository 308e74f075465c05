"""The training loop of one process: builds the LightningModule, the data loaders and the trainer, and fits.

Lightning's logging, checkpoints and progress bar are disabled; see `callbacks`. `speed_up` makes training a tower
faster and changes results by rounding only (docs/benchmarks.md): convolutions gain from channels-last, more in
bfloat16 than in float32; `torch.compile` takes a minute and gains little in float32, so it is an option.
"""

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment
from torch import nn

from ordinalclip.config.kinds import Between
from ordinalclip.errors import ConfigError
from ordinalclip.metrics.collection import RankMetrics
from ordinalclip.model import OrdinalCLIP
from ordinalclip.optimizers.parameter_groups import build_optimizer, build_scheduler
from ordinalclip.preparation.build import build
from ordinalclip.preparation.prepare import Job
from ordinalclip.system.distributed import SINGLE_PROCESS, World
from ordinalclip.training.batches import EpochSampler, evaluation_loader, training_loader
from ordinalclip.training.callbacks import checkpoint_to_resume
from ordinalclip.training.module import OrdinalModule
from ordinalclip.training.split_data import LabelDraw, SplitData

_NONDETERMINISTIC = re.compile(r"(\S+) does not have a deterministic implementation")

# Lightning's warnings about deliberate choices, and about its own internals.
_SILENCED_WARNINGS = (
    ".*does not have many workers.*",
    ".*`srun` command is available.*",
    r".*module\(s\) in eval mode at the start of training.*",
    ".*LeafSpec.*is deprecated.*",
    ".*`training_step` returned `None`.*",
    ".*smaller than the logging interval.*",
)


@contextlib.contextmanager
def explain_nondeterminism() -> Iterator[None]:
    """Turns torch's error about a nondeterministic operation into a ConfigError with the operation and the key.

    Raises:
        ConfigError: an operation of a trained tower has no deterministic implementation on this device.
    """
    try:
        yield
    except RuntimeError as error:
        found = _NONDETERMINISTIC.search(str(error))
        if found is None:
            raise
        problem = f"{found[1]} in a tower that is trained has no deterministic way on this device"
        remedy = "trainer.deterministic=false: runs with equal settings then differ by rounding"
        raise ConfigError("trainer.deterministic", True, problem, remedy=remedy) from error


def speed_up(tower: nn.Module, *, compiled: bool) -> None:
    """Prepares a tower that is about to be trained, in place; names in its state stay as they are.

    Args:
        tower: [B, 3, H, W] → [B, F].
        compiled: compile the forward and backward passes when they are first run, which takes a minute.
    """
    convolutions = [module for module in tower.modules() if isinstance(module, nn.Conv2d)]
    if len(convolutions) > 1:  # a single convolution is the patch embedding of a transformer
        # The format of the weights determines the format of the output, whatever the format of the input.
        tower.to(memory_format=torch.channels_last)
    if compiled:
        tower.compile()


def build_trainer(
    *,
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto",
    devices: Annotated[int, Between(1, 1024)] = 1,
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true",
    deterministic: bool = True,
    gradient_clip_val: Annotated[float, Between(0, None)] | None = None,
    accumulate_grad_batches: Annotated[int, Between(1, None)] = 1,
    limit_batches: Annotated[int, Between(1, None)] | None = None,
    run_directory: Path,
    max_epochs: int,
    callbacks: Sequence[pl.Callback],
    world: World = SINGLE_PROCESS,
) -> pl.Trainer:
    """Builds a trainer on one device: that of this process if there are several processes.

    Args:
        accelerator: where to compute; `auto` uses a GPU if there is one.
        devices: processes of a run, each with one device; `ordinalclip.training.processes` starts them.
        precision: of the forward pass; weights stay in fp32.
        deterministic: raise an error for nondeterministic operations.
        gradient_clip_val: largest norm of the gradient; None = not clipped.
        accumulate_grad_batches: batches per optimizer step.
        limit_batches: batches per training epoch and per validation pass, for debugging.
        run_directory: Lightning's default_root_dir; nothing is written to it.
        max_epochs: passes over the training split.
        callbacks: see `ordinalclip.training.callbacks`.
        world: this process's place among those of the run.

    Raises:
        ConfigError: see `check_accelerator`.
    """
    check_accelerator(accelerator, precision)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in _SILENCED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    return pl.Trainer(
        accelerator=accelerator,
        devices=[world.rank] if world.size > 1 and accelerator != "cpu" and torch.cuda.is_available() else 1,
        precision=precision,
        deterministic=deterministic,
        gradient_clip_val=gradient_clip_val,
        accumulate_grad_batches=accumulate_grad_batches,
        limit_train_batches=limit_batches,
        limit_val_batches=limit_batches,
        max_epochs=max_epochs,
        callbacks=list(callbacks),
        # SLURM and submitit requeue the job; Lightning must not do so as well.
        plugins=[SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else None,
        default_root_dir=run_directory,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )


def check_accelerator(accelerator: str, precision: str) -> None:
    """Checks that this machine has the device and supports the precision of a run.

    Raises:
        ConfigError: there is no GPU; float16 without a GPU, which Lightning would silently replace by bfloat16.
    """
    if accelerator == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise ConfigError("trainer.accelerator", accelerator, "there is no GPU here", allowed="auto, cpu")
    if precision == "16-mixed" and (accelerator == "cpu" or not torch.cuda.is_available()):
        problem = "needs a CUDA GPU, and there is none"
        raise ConfigError("trainer.precision", precision, problem, allowed="32-true, bf16-mixed")


def train_model(
    job: Job, model: OrdinalCLIP, data: SplitData, world: World, callbacks: Sequence[pl.Callback]
) -> OrdinalModule:
    """Trains a model from the last checkpoint of the run, or from the start, on this process's share of every batch.

    Args:
        job: a checked job.
        model: its frozen parts have `requires_grad=False`.
        data: the splits.
        world: the processes that do so together.
        callbacks: those of this process; only process 0 keeps the record.
    """
    cfg = job.cfg
    train = data.split("train")
    sampler = EpochSampler(len(train), cfg["batch_size"], cfg["seed"])
    schedule = build(cfg["schedule"], "schedule")
    if world.size > 1:
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
        world=world,
    )
    trainer = build_trainer(
        **{k: v for k, v in cfg["trainer"].items() if k != "_target_"},
        run_directory=job.run.directory,
        max_epochs=cfg["epochs"],
        callbacks=callbacks,
        world=world,
    )
    module.train()  # Lightning does not set the mode; frozen parts stay in eval mode
    with explain_nondeterminism():
        trainer.fit(
            module,
            training_loader(train, sampler, cfg["num_workers"], world),
            # The split that selects the epoch; always logged as val/, although some published protocols select on test.
            evaluation_loader(data.split(cfg["protocol"]["select_on"]), None, cfg["num_workers"], world),
            ckpt_path=checkpoint_to_resume(job.run),
            weights_only=True,
        )
    return module


def check_batch_norm(model: OrdinalCLIP, devices: int) -> None:
    """Checks that BatchNorm statistics of a whole batch can be computed: torch synchronizes them on GPUs only.

    Raises:
        ConfigError: a BatchNorm layer is trained on several CPUs.
    """
    norms = (part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm))
    trained = any(parameter.requires_grad for norm in norms for parameter in norm.parameters())
    if devices > 1 and trained and not torch.cuda.is_available():
        problem = "the image tower's BatchNorm would be trained on each process's share of a batch"
        raise ConfigError("trainer.devices", devices, problem, remedy="GPUs, trainer.devices=1 or trainable.image=null")


def _targets(job: Job) -> LabelDraw | None:
    how = job.cfg["label_draw"]
    return None if how == "median" else LabelDraw(job.manifest, how, job.cfg["seed"])
