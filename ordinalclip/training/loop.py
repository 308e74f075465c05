"""The fit in one process: the Lightning trainer, and model, data and settings put together.

Lightning's own logging, checkpoints and progress are switched off. `speed_up` makes an image tower quicker to train
without changing what it computes except for rounding (docs/benchmarks.md): convolutions gain from channels-last, in
bfloat16 more than in float32; `torch.compile` takes a minute and gains little in float32, hence it is an option.
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

_REFUSED = re.compile(r"(\S+) does not have a deterministic implementation")

# Lightning's remarks about what is so on purpose here, and about itself.
_NOT_FOR_USERS = (
    ".*does not have many workers.*",
    ".*`srun` command is available.*",
    r".*module\(s\) in eval mode at the start of training.*",
    ".*LeafSpec.*is deprecated.*",
    ".*`training_step` returned `None`.*",
    ".*smaller than the logging interval.*",
)


@contextlib.contextmanager
def explain_nondeterminism() -> Iterator[None]:
    """Raises what torch refused as a ConfigError that names the operation and the key.

    Raises:
        ConfigError: an operation of a tower that is trained adds in no fixed order on this device.
    """
    try:
        yield
    except RuntimeError as error:
        refused = _REFUSED.search(str(error))
        if refused is None:
            raise
        problem = f"{refused[1]} in a tower that is trained has no deterministic way on this device"
        remedy = "trainer.deterministic=false: runs with equal settings then differ by rounding"
        raise ConfigError("trainer.deterministic", True, problem, remedy=remedy) from error


def speed_up(tower: nn.Module, *, compiled: bool) -> None:
    """Prepares a tower that is about to be trained, in place; names in its state stay as they are.

    Args:
        tower: [B, 3, H, W] → [B, F].
        compiled: have its forward and backward passes compiled when they are first run, which takes a minute.
    """
    convolutions = [module for module in tower.modules() if isinstance(module, nn.Conv2d)]
    if len(convolutions) > 1:  # a single one cuts a transformer's patches
        # Weights decide: a convolution answers in their format, whatever its input's.
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
    """Builds a trainer on one device, that of this process where there are several.

    Args:
        accelerator: where to compute; `auto` takes a GPU where there is one.
        devices: processes of a run, each with a device; `ordinalclip.training.processes` starts them.
        precision: of the forward pass; weights stay in fp32.
        deterministic: refuse operations whose result varies from call to call.
        gradient_clip_val: largest norm of the gradient; None = not clipped.
        accumulate_grad_batches: batches per optimiser step.
        limit_batches: batches per training epoch and per validation pass, for debugging.
        run_directory: Lightning's root, which nothing should be written to.
        max_epochs: passes over the training split.
        callbacks: ours.
        world: this process's place among those of the run.

    Raises:
        ConfigError: see `check_accelerator`.
    """
    check_accelerator(accelerator, precision)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in _NOT_FOR_USERS:
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
        # SLURM and submitit requeue a job; Lightning would, too.
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
    """Checks that this machine has what a run is to be computed on.

    Raises:
        ConfigError: a GPU that is not there; float16 without one, where Lightning would compute in bfloat16 under its
            name.
    """
    if accelerator == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise ConfigError("trainer.accelerator", accelerator, "there is no GPU here", allowed="auto, cpu")
    if precision == "16-mixed" and (accelerator == "cpu" or not torch.cuda.is_available()):
        problem = "needs a CUDA GPU, and there is none"
        raise ConfigError("trainer.precision", precision, problem, allowed="32-true, bf16-mixed")


def train_model(
    job: Job, model: OrdinalCLIP, data: SplitData, world: World, callbacks: Sequence[pl.Callback]
) -> OrdinalModule:
    """Trains a model from the run's last checkpoint or from the start, on this process's share of every batch.

    Args:
        job: a checked job.
        model: with what is frozen frozen.
        data: the splits.
        world: the processes that do so together.
        callbacks: what else happens; the record is kept by one process's callbacks alone.
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
    module.train()  # frozen parts stay in eval mode; Lightning would train in whatever mode it finds
    with explain_nondeterminism():
        trainer.fit(
            module,
            training_loader(train, sampler, cfg["num_workers"], world),
            # Logged as val/ in any case: the split that an epoch is chosen on, which published protocols let be test.
            evaluation_loader(data.split(cfg["protocol"]["select_on"]), None, cfg["num_workers"], world),
            ckpt_path=checkpoint_to_resume(job.run),
            weights_only=True,
        )
    return module


def check_batch_norm(model: OrdinalCLIP, devices: int) -> None:
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
