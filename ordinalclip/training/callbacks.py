"""Lightning callbacks: metrics and checkpoints of each epoch, the progress bar, signals and exceptions."""

import logging
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from ordinalclip.metrics.ordinality import ordinality
from ordinalclip.runs.run import Run
from ordinalclip.scoring.ordinality import logged_ordinality
from ordinalclip.system.interruption import check_stop
from ordinalclip.system.terminal import progress
from ordinalclip.training.module import OrdinalModule

log = logging.getLogger(__name__)


class EpochRecord(pl.Callback):
    """Appends the values of an epoch to the record, then writes the checkpoints: `best` if it improved, then `last`.

    The order matters: after a kill between the two, `last` is one epoch behind, and the resumed run writes the same
    `best` again. The best score so far is read from the record, not from the callback's state.

    Args:
        run: the claimed run.
        selection: logged name of the score that selects the best epoch, such as "val/mae".
        largest: whether the largest value is the best instead of the smallest.
        after_epoch: called after everything is written; must not raise.
    """

    def __init__(
        self, run: Run, selection: str, *, largest: bool = False, after_epoch: Callable[[], None] | None = None
    ) -> None:
        self.sign = -1 if largest else 1
        self.run, self.selection, self.after_epoch = run, selection, after_epoch
        self.rates: dict[str, float] = {}

    def best_before(self, epoch: int) -> float:
        """Best score of the epochs before `epoch`, negated if larger is better; infinity if there is none."""
        scores = {
            line["epoch"]: self.sign * line["values"][self.selection]
            for line in self.run.metrics()
            if line["epoch"] < epoch and self.selection in line["values"]
        }
        return min(scores.values(), default=float("inf"))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stores the largest learning rate of each part; at its end the optimizer has those of the next epoch."""
        self.rates = {}
        for group in trainer.optimizers[0].param_groups:
            name = f"lr/{group['name'].partition('/')[0]}"
            self.rates[name] = max(group["lr"], self.rates.get(name, 0.0))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the epoch.

        Raises:
            FloatingPointError: the score is not finite: the last step made the weights non-finite after its loss.
        """
        assert isinstance(pl_module, OrdinalModule)
        values = pl_module.epoch_values | self.rates
        epoch = trainer.current_epoch
        if not math.isfinite(values[self.selection]):
            raise FloatingPointError(
                f"{self.selection} became {values[self.selection]} in epoch {epoch}, which is not kept; "
                "a lower learning rate (trainable.*) or trainer.gradient_clip_val=1.0 may help"
            )
        rank_features = pl_module.epoch_rank_features
        assert rank_features is not None
        values |= logged_ordinality(asdict(ordinality(rank_features.detach().float().cpu())))
        is_best = self.sign * values[self.selection] < self.best_before(epoch)
        self.run.log_metrics(values, epoch=epoch, step=trainer.global_step)
        if is_best:
            self.run.publish("ckpt/best.ckpt", lambda draft: trainer.save_checkpoint(draft, weights_only=True))
        self.run.publish("ckpt/last.ckpt", lambda draft: trainer.save_checkpoint(draft))
        self.run.set_status("running", epoch=epoch + 1, epochs=trainer.max_epochs)
        if self.after_epoch is not None:
            self.after_epoch()


class ProgressBar(pl.Callback):
    """A progress bar over all steps of the fit, with the latest validation score.

    Args:
        selection: logged name to show, such as "val/mae".
        label: text before the bar.
    """

    def __init__(self, selection: str, label: str) -> None:
        self.selection, self.label = selection, label
        self.bar: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens the bar at the epoch of a resumed run."""
        total = int(trainer.num_training_batches) * int(trainer.max_epochs or 0)
        done = int(trainer.num_training_batches) * trainer.current_epoch
        # Without tqdm's rate, so that the score fits into 80 columns.
        shown = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {elapsed}<{remaining}{postfix}"
        self.bar = progress(self.label, total, " steps", delay=0, initial=done, bar_format=shown)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advances the bar by one step."""
        self.bar.update(1)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Shows the latest score."""
        assert isinstance(pl_module, OrdinalModule)
        score = pl_module.epoch_values.get(self.selection)
        if score is not None:
            shown = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}, {self.selection} {score:.3f}"
            self.bar.set_postfix_str(shown, refresh=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Closes the bar."""
        self.bar.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Closes the bar after an error."""
        if self.bar is not None:
            self.bar.close()


class StopOnSignal(pl.Callback):
    """Stops a fit before the next batch after a signal was received; only the current epoch is lost."""

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Raises if a signal was received."""
        check_stop()

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Raises if a signal was received."""
        check_stop()


class RememberException(pl.Callback):
    """Stores the exception that ended a fit, since Lightning replaces KeyboardInterrupt by SystemExit."""

    def __init__(self) -> None:
        self.cause: BaseException | None = None

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Stores the exception."""
        self.cause = exception


def checkpoint_to_resume(run: Run) -> Path | None:
    """The last checkpoint of a run; None if it, or the best checkpoint, which is tested at the end, is missing."""
    return run.last_checkpoint if run.last_checkpoint.exists() and run.best_checkpoint.exists() else None
