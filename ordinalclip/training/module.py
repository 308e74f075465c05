"""The LightningModule: loss, optimization and validation of the model.

`non_finite_message` describes a loss that is not finite: the step, its images, and the norms of each part.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ordinalclip.metrics.collection import RankMetrics
from ordinalclip.model import OrdinalCLIP, Output
from ordinalclip.system.distributed import SINGLE_PROCESS, World, gather_batch
from ordinalclip.training.batches import Batch, EpochSampler

_MAX_NAMED_IMAGES = 5


@dataclass(frozen=True)
class Step:
    """One batch of an optimizer step, or one process's share of it.

    Attributes:
        row: rows of the manifest [B].
        logits: [B, R], detached.
        loss: a scalar, detached.
    """

    row: Tensor
    logits: Tensor
    loss: Tensor


def non_finite_message(steps: Sequence[Step], model: OrdinalCLIP, paths: Sequence[str], where: str) -> str:
    """The message about a loss that is not finite. All processes of a fit must call it, since it gathers logits.

    Args:
        steps: the batches of the optimizer step.
        model: with the gradients of the step.
        paths: image of every row of the manifest; may be empty.
        where: names the step.
    """
    step = next((step for step in steps if not bool(step.loss.isfinite())), steps[-1])
    logits_BR, row_B = gather_batch(step.logits, step.row)  # the images at fault may be another process's
    return "\n".join(
        [
            f"the loss became {float(step.loss)} in {where}, which is not kept",
            f"  images: {_images(logits_BR, row_B.tolist(), paths)}",
            *(f"  {part}: {text}" for part, text in _norms(model).items()),
            "  what to do: a lower learning rate (trainable.*) or trainer.gradient_clip_val=1.0 may help",
        ]
    )


def _images(logits_BR: Tensor, rows: Sequence[int], paths: Sequence[str]) -> str:
    """Names the images whose logits are not finite; all images of the batch if none or all are."""
    broken = (~logits_BR.isfinite().all(dim=1)).tolist()
    all_alike = all(broken) or not any(broken)
    rows = [row for row, is_broken in zip(rows, broken, strict=True) if is_broken or all_alike]
    names = [paths[row] if paths else f"row {row}" for row in rows]
    more = f" and {len(names) - _MAX_NAMED_IMAGES} more" if len(names) > _MAX_NAMED_IMAGES else ""
    which = "of the batch" if all_alike else "with logits that are not finite"
    return f"{', '.join(names[:_MAX_NAMED_IMAGES])}{more} ({len(names)} {which})"


def _norms(model: OrdinalCLIP) -> dict[str, str]:
    """Trained part → norms of its parameters and of its gradient."""
    norms = {}
    for part, named in model.parts().items():
        trained = [parameter for _, parameter in named if parameter.requires_grad]
        if trained:
            gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
            norms[part] = f"parameters {_norm(trained):.4g}, gradient {_norm(gradients):.4g}"
    return norms


def _norm(tensors: Sequence[Tensor]) -> float:
    return float(sum(tensor.detach().double().square().sum() for tensor in tensors) ** 0.5) if tensors else 0.0


class OrdinalModule(pl.LightningModule):
    """Trains an OrdinalCLIP model and computes validation metrics after each epoch.

    Args:
        model: its frozen parts have `requires_grad=False`.
        loss: takes `Output` and ranks [B], returns a dict of scalar tensors, one of them "loss".
        build_optimizer: called once the module is on its device.
        build_scheduler: called with the optimizer; stepped once per epoch.
        metrics: accumulates the validation predictions of an epoch.
        sampler: the training order; its epoch is restored on resume.
        seed: of dropout and everything else that is drawn while training.
        targets: rows [B] of the manifest, epoch → targets in place of the ranks [B].
        paths: image of each row of the manifest, for messages.
        world: the processes of the fit. Losses are those of the whole batch in each of them (`gather_batch`),
            gradients are averaged over them here, metrics gather their predictions themselves.
    """

    def __init__(
        self,
        model: OrdinalCLIP,
        *,
        loss: nn.Module,
        build_optimizer: Callable[[], Optimizer],
        build_scheduler: Callable[[Optimizer], LambdaLR],
        metrics: RankMetrics,
        sampler: EpochSampler,
        seed: int,
        targets: Callable[[Tensor, int], Tensor] | None = None,
        paths: Sequence[str] = (),
        world: World = SINGLE_PROCESS,
    ) -> None:
        super().__init__()
        self.model, self.loss, self.val_metrics = model, loss, metrics
        self.build_optimizer, self.build_scheduler = build_optimizer, build_scheduler
        self.sampler, self.seed, self.targets, self.world = sampler, seed, targets, world
        self.strict_loading = False  # frozen towers are not in checkpoints; see load_state_dict
        self.epoch_values: dict[str, float] = {}
        self._sums: dict[str, Tensor] = {}
        self._num_images = 0
        self.epoch_rank_features: Tensor | None = None
        self._step_rank_features: tuple[Tensor, Tensor] | None = None  # with the graph of the text tower; detached
        self._in_step, self._batch_idx = False, 0
        self.paths, self._steps = paths, list[Step]()  # the batches of an optimizer step

    def configure_optimizers(self) -> Any:
        """One optimizer over all parameter groups, and a schedule that is stepped once per epoch."""
        optimizer = self.build_optimizer()
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.build_scheduler(optimizer), "interval": "epoch"},
        }

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Moves a `Batch`; Lightning's version handles dicts and tuples only."""
        return batch.to(device)

    def on_train_epoch_start(self) -> None:
        """Resets the sums of the epoch."""
        self._sums, self._num_images = {}, 0
        self._step_rank_features, self._in_step, self._steps = None, False, []

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seeds torch from (seed, epoch), so that a resumed epoch draws the same numbers."""
        if batch_idx == 0:
            torch.manual_seed(self.seed * 1_000_003 + self.current_epoch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Computes the loss of a batch. Rank features are computed once per optimizer step.

        If nothing that they depend on is trained, they are computed once per epoch.
        """
        if not self._in_step:
            self._in_step, self._steps = True, []
            self._reseed(batch_idx, 0)
            if self._step_rank_features is None:
                features_RD = self.model.rank_features()
                self._step_rank_features = features_RD, features_RD.detach().requires_grad_(features_RD.requires_grad)
            self._reseed(batch_idx, 1 + self.world.rank)
        assert self._step_rank_features is not None
        self._batch_idx = batch_idx
        _, rank_features_RD = self._step_rank_features
        output, batch = self._forward(batch, rank_features_RD)
        rank = batch.rank if self.targets is None else self.targets(batch.row, self.current_epoch)
        terms = self.loss(output, rank)
        # Weighted by the number of images, since the last batch may be smaller.
        number = self.world.total(len(batch.rank), batch.rank.device)
        for name, term in terms.items():
            self._sums[name] = self._sums.get(name, 0) + term.detach() * number
        self._num_images += number
        self._steps.append(Step(batch.row, output.logits.detach(), terms["loss"].detach()))
        return terms["loss"]

    def _forward(self, batch: Batch, rank_features_RD: Tensor | None) -> tuple[Output, Batch]:
        """The output of a batch, and the batch; both empty if it is idle."""
        output = self.model(images=batch.images, features=batch.features, rank_features=rank_features_RD)
        if not batch.idle:
            return output, batch
        none = output._replace(logits=output.logits[:0], image_features=output.image_features[:0])
        return none, Batch(batch.rank[:0], batch.row[:0])

    def _reseed(self, batch_idx: int, stream: int) -> None:
        """Seeds torch, if there are several processes: text dropout must be equal in all of them, image dropout not."""
        if self.world.size > 1:
            words = [self.seed, self.current_epoch, batch_idx, stream]
            torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backpropagates one batch; prompts and text tower are backpropagated once, after the last batch of a step.

        Each batch adds to the gradient of a detached copy of the rank features. After the last batch, this gradient is
        backpropagated through the text tower, so forward and backward pass of the tower run once per step.
        """
        loss.backward(*args, **kwargs)
        last = self._batch_idx + 1
        if last % self.trainer.accumulate_grad_batches != 0 and last != self.trainer.num_training_batches:
            return
        assert self._step_rank_features is not None
        features_RD, copy_RD = self._step_rank_features
        if features_RD.requires_grad:
            assert copy_RD.grad is not None
            self.world.average([copy_RD.grad])  # the tower gets the whole batch's gradient in every process
            features_RD.backward(copy_RD.grad)
            self._step_rank_features = None
        self._in_step = False
        self.world.average(parameter.grad for parameter in self.parameters() if parameter.grad is not None)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Checks the loss before the weights are updated.

        Raises:
            FloatingPointError: the loss is not finite; see `non_finite_message`. The last checkpoint stays valid.
        """
        if not torch.isfinite(self._sums["loss"]):
            where = f"epoch {self.current_epoch}, step {self.global_step}"
            raise FloatingPointError(non_finite_message(self._steps, self.model, self.paths, where))

    def on_validation_epoch_start(self) -> None:
        """Computes the rank features once for the whole validation pass."""
        self.val_metrics.reset()
        self.epoch_rank_features = self.model.rank_features()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Accumulates the predictions of a batch."""
        output, batch = self._forward(batch, self.epoch_rank_features)
        self.val_metrics.update(output.logits.softmax(-1).float(), batch.rank)

    def on_validation_epoch_end(self) -> None:
        """Computes the values of the epoch for the record."""
        values = {f"train/{name}": float(total) / max(self._num_images, 1) for name, total in self._sums.items()}
        values |= {f"val/{name}": float(value) for name, value in self.val_metrics.compute().items()}
        self.epoch_values = values

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps parameters that are trained or came from another run; other weights are reloaded from their files."""
        trained = self.trained_names()
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the epoch of the sampler."""
        self.sampler.epoch = checkpoint["epoch"] + 1

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Loads the entries of `trained_names` only: torch's version would also change BatchNorms of frozen towers.

        Args:
            state_dict: exactly the entries of `trained_names`.
            strict: ignored; always strict.
            assign: ignored; values are copied.

        Raises:
            ValueError: entries are missing or unexpected.
        """
        check_names(state_dict, self.trained_names())
        own = self.state_dict()
        with torch.no_grad():
            for name, tensor in state_dict.items():
                own[name].copy_(tensor)

    def trained_names(self) -> set[str]:
        """Names of trained parameters, of buffers of their modules (BatchNorm statistics), and of values of `init`."""
        names = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        modules = {name.rpartition(".")[0] for name in names}
        buffers = {name for name, _ in self.named_buffers() if name.rpartition(".")[0] in modules}
        initialised = {f"model.{name}" for name in self.model.initialised}
        return names | (buffers & set(self.state_dict())) | initialised


def check_names(state: Mapping[str, Tensor], expected: set[str]) -> None:
    """Compares the names in a checkpoint with the expected ones.

    Raises:
        ValueError: names are missing or unexpected.
    """
    missing, surplus = sorted(expected - set(state)), sorted(set(state) - expected)
    if missing or surplus:
        raise ValueError(
            f"the checkpoint does not fit the model: missing {missing or 'nothing'}, surplus {surplus or 'nothing'}"
        )
