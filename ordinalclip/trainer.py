"""The Lightning trainer, told to leave logging, checkpoints and progress to us."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment

from ordinalclip.errors import ConfigError
from ordinalclip.signatures import Between
from ordinalclip.team import ALONE, Team

# Lightning's remarks about what is so on purpose here, and about itself.
_NOT_FOR_USERS = (
    ".*does not have many workers.*",
    ".*`srun` command is available.*",
    r".*module\(s\) in eval mode at the start of training.*",
    ".*LeafSpec.*is deprecated.*",
    ".*`training_step` returned `None`.*",
    ".*smaller than the logging interval.*",
)


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
    team: Team = ALONE,
) -> pl.Trainer:
    """Builds a trainer on one device, that of this process where there are several.

    Args:
        accelerator: where to compute; `auto` takes a GPU where there is one.
        devices: processes of a run, each with a device; `ordinalclip.processes` starts them.
        precision: of the forward pass; weights stay in fp32.
        deterministic: refuse operations whose result varies from call to call.
        gradient_clip_val: largest norm of the gradient; None = not clipped.
        accumulate_grad_batches: batches per optimiser step.
        limit_batches: batches per training epoch and per validation pass, for debugging.
        run_directory: Lightning's root, which nothing should be written to.
        max_epochs: passes over the training split.
        callbacks: ours.
        team: this process's place among those of the run.

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
        devices=[team.rank] if team.size > 1 and accelerator != "cpu" and torch.cuda.is_available() else 1,
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
