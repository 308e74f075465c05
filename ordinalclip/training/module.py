"""The LightningModule: loss, optimization and validation of the model.

`non_finite_message` reports a loss that is not a number: where, of which images, and the norms of each part and its gradient.
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

_SHOWN = 5  # images


@dataclass(frozen=True)
class Step:
    """One batch of an optimiser step, or one process's share of it.

    Attributes:
        row: of the manifest [B].
        logits: [B, R], without a graph.
        loss: a scalar, without a graph.
    """

    row: Tensor
    logits: Tensor
    loss: Tensor


def non_finite_message(steps: Sequence[Step], model: OrdinalCLIP, paths: Sequence[str], where: str) -> str:
    """The message about a loss that is not finite. Where several processes fit together, all of them must ask for it.

    Args:
        steps: the batches of the optimiser step.
        model: with the gradients of the step.
        paths: of every row of the manifest; empty where they are not known.
        where: which step it is.
    """
    step = next((step for step in steps if not bool(step.loss.isfinite())), steps[-1])
    logits_BR, row_B = gather_batch(step.logits, step.row)  # another process's share may be what ruined it
    return "\n".join(
        [
            f"the loss became {float(step.loss)} in {where}, which is not kept",
            f"  images: {_images(logits_BR, row_B.tolist(), paths)}",
            *(f"  {part}: {text}" for part, text in _norms(model).items()),
            "  what to do: a lower learning rate (trainable.*) or trainer.gradient_clip_val=1.0 may help",
        ]
    )


def _images(logits_BR: Tensor, rows: Sequence[int], paths: Sequence[str]) -> str:
    """The batch's images, or those of them whose logits are not finite where that is not so for all."""
    ruined = (~logits_BR.isfinite().all(dim=1)).tolist()
    all_alike = all(ruined) or not any(ruined)
    rows = [row for row, is_ruined in zip(rows, ruined, strict=True) if is_ruined or all_alike]
    names = [paths[row] if paths else f"row {row}" for row in rows]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    which = "of the batch" if all_alike else "with logits that are not finite"
    return f"{', '.join(names[:_SHOWN])}{more} ({len(names)} {which})"


def _norms(model: OrdinalCLIP) -> dict[str, str]:
    """Part → norm of its parameters, and of its gradient where it is trained."""
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
    """Fits an OrdinalCLIP model and measures it on validation after each epoch.

    Args:
        model: the model; parts that are frozen have `requires_grad=False` already.
        loss: takes `Output` and ranks [B], returns a dict of scalar tensors with "loss" among them.
        build_optimizer: called once the module is on its device.
        build_scheduler: called with the optimiser; stepped once an epoch.
        metrics: accumulates the validation predictions of an epoch.
        sampler: the training order, whose epoch is restored on resume.
        seed: of dropout and of everything else drawn while training.
        targets: what to train on in place of the ranks [B], from rows [B] of the manifest and the epoch.
        paths: image of each row of the manifest, for messages.
        world: the processes that fit it together. Losses are those of the whole batch in each of them (`gather_batch`),
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
        self._step_rank_features: tuple[Tensor, Tensor] | None = None  # with the text tower behind them; cut off
        self._in_step, self._batch_idx = False, 0
        self.paths, self._steps = paths, list[Step]()  # the batches of an optimiser step

    def configure_optimizers(self) -> Any:
        """One optimiser over the parts' groups, one schedule by epoch."""
        optimizer = self.build_optimizer()
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.build_scheduler(optimizer), "interval": "epoch"},
        }

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Lightning's own version knows dicts and tuples only."""
        return batch.to(device)

    def on_train_epoch_start(self) -> None:
        """Starts the epoch's sums."""
        self._sums, self._num_images = {}, 0
        self._step_rank_features, self._in_step, self._steps = None, False, []

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Ties all randomness to (seed, epoch), so that a resumed epoch draws what the first would have drawn."""
        if batch_idx == 0:
            torch.manual_seed(self.seed * 1_000_003 + self.current_epoch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One batch: logits, loss. Rank features are computed once for all the batches of an optimiser step.

        Where nothing that they are made of is trained, they are computed once for an epoch.
        """
        if not self._in_step:
            self._in_step, self._steps = True, []
            self._draw_anew(batch_idx, 0)
            if self._step_rank_features is None:
                features_RD = self.model.rank_features()
                self._step_rank_features = features_RD, features_RD.detach().requires_grad_(features_RD.requires_grad)
            self._draw_anew(batch_idx, 1 + self.world.rank)
        assert self._step_rank_features is not None
        self._batch_idx = batch_idx
        _, rank_features_RD = self._step_rank_features
        output, batch = self._forward(batch, rank_features_RD)
        rank = batch.rank if self.targets is None else self.targets(batch.row, self.current_epoch)
        terms = self.loss(output, rank)
        # Weighted by images, so that a short last batch counts for what it is.
        number = self.world.total(len(batch.rank), batch.rank.device)
        for name, term in terms.items():
            self._sums[name] = self._sums.get(name, 0) + term.detach() * number
        self._num_images += number
        self._steps.append(Step(batch.row, output.logits.detach(), terms["loss"].detach()))
        return terms["loss"]

    def _forward(self, batch: Batch, rank_features_RD: Tensor | None) -> tuple[Output, Batch]:
        """The output of a batch, and the batch; both without images where it is idle."""
        output = self.model(images=batch.images, features=batch.features, rank_features=rank_features_RD)
        if not batch.idle:
            return output, batch
        none = output._replace(logits=output.logits[:0], image_features=output.image_features[:0])
        return none, Batch(batch.rank[:0], batch.row[:0])

    def _draw_anew(self, batch_idx: int, stream: int) -> None:
        """Dropout of the text tower must be the same in all processes, that of the images' another in each."""
        if self.world.size > 1:
            words = [self.seed, self.current_epoch, batch_idx, stream]
            torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Gradients of one batch; those of the prompts and the text tower follow once, after a step's last batch.

        Batches add up what they want of the rank features in the gradient of a copy that the text tower is cut off
        from, so that the tower runs back once a step as it ran forth once a step.
        """
        loss.backward(*args, **kwargs)
        last = self._batch_idx + 1
        if last % self.trainer.accumulate_grad_batches != 0 and last != self.trainer.num_training_batches:
            return
        assert self._step_rank_features is not None
        features_RD, copy_RD = self._step_rank_features
        if features_RD.requires_grad:
            assert copy_RD.grad is not None
            self.world.average([copy_RD.grad])  # so that what is behind it gets the whole batch's gradient everywhere
            features_RD.backward(copy_RD.grad)
            self._step_rank_features = None
        self._in_step = False
        self.world.average(parameter.grad for parameter in self.parameters() if parameter.grad is not None)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Stops at a loss that is not a number, before it enters the weights.

        Raises:
            FloatingPointError: naming the step, its images and the parts' norms; the last checkpoint stays good.
        """
        if not torch.isfinite(self._sums["loss"]):
            where = f"epoch {self.current_epoch}, step {self.global_step}"
            raise FloatingPointError(non_finite_message(self._steps, self.model, self.paths, where))

    def on_validation_epoch_start(self) -> None:
        """Computes the rank features once for the whole pass."""
        self.val_metrics.reset()
        self.epoch_rank_features = self.model.rank_features()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Accumulates predictions."""
        output, batch = self._forward(batch, self.epoch_rank_features)
        self.val_metrics.update(output.logits.softmax(-1).float(), batch.rank)

    def on_validation_epoch_end(self) -> None:
        """Collects the epoch's values for the record."""
        values = {f"train/{name}": float(total) / max(self._num_images, 1) for name, total in self._sums.items()}
        values |= {f"val/{name}": float(value) for name, value in self.val_metrics.compute().items()}
        self.epoch_values = values

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps what is trained or came from another run; other frozen towers come back from their weight files."""
        trained = self.trained_names()
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Puts the sampler where it was."""
        self.sampler.epoch = checkpoint["epoch"] + 1

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Loads what is trained, and nothing else: torch's own would touch the BatchNorms of frozen towers, too.

        Args:
            state_dict: trained parameters and the buffers beside them, all of them and no others.
            strict: no other way is offered.
            assign: no other way is offered.

        Raises:
            ValueError: naming what is missing and what is too much.
        """
        check_names(state_dict, self.trained_names())
        own = self.state_dict()
        with torch.no_grad():
            for name, tensor in state_dict.items():
                own[name].copy_(tensor)

    def trained_names(self) -> set[str]:
        """Trained parameters, the buffers of their modules (BatchNorm's statistics), and what another run brought."""
        names = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        modules = {name.rpartition(".")[0] for name in names}
        buffers = {name for name, _ in self.named_buffers() if name.rpartition(".")[0] in modules}
        initialised = {f"model.{name}" for name in self.model.initialised}
        return names | (buffers & set(self.state_dict())) | initialised


def check_names(state: Mapping[str, Tensor], expected: set[str]) -> None:
    """Compares a checkpoint's names with those that must be in it.

    Raises:
        ValueError: naming what is missing and what is too much.
    """
    missing, surplus = sorted(expected - set(state)), sorted(set(state) - expected)
    if missing or surplus:
        raise ValueError(
            f"the checkpoint does not fit the model: missing {missing or 'nothing'}, surplus {surplus or 'nothing'}"
        )
