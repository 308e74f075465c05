"""Learning rate over the epochs, as a factor of every part's own rate. Imports no torch.

Each schedule has `factor(epoch, num_epochs)`; `parameter_groups.build_scheduler` makes a LambdaLR of it. The first
epoch is 0. Warm-up epochs come first; the schedule runs over the remaining epochs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from ordinalclip.config.kinds import Between
from ordinalclip.errors import ConfigError


@dataclass(frozen=True)
class Warmup:
    """The first epochs: `constant` stays at the factor `start`, `linear` rises from it to 1 in the epoch after them."""

    epochs: int
    kind: Literal["constant", "linear"]
    start: float

    def factor(self, epoch: int) -> float | None:
        """The factor of a warm-up epoch; None once it is over."""
        if epoch >= self.epochs:
            return None
        return self.start if self.kind == "constant" else self.start + (1 - self.start) * epoch / self.epochs


class Constant:
    """The same rate throughout.

    Args:
        warmup_epochs: number of warm-up epochs.
        warmup: `constant` or `linear`, see `Warmup`.
        warmup_factor: where warm-up starts.
    """

    def __init__(
        self,
        *,
        warmup_epochs: Annotated[int, Between(0, None)] = 0,
        warmup: Literal["constant", "linear"] = "linear",
        warmup_factor: Annotated[float, Between(0, 1)] = 0.1,
    ) -> None:
        self.warmup = Warmup(warmup_epochs, warmup, warmup_factor)

    def factor(self, epoch: int, num_epochs: int) -> float:
        """Factor of the learning rates in an epoch 0…num_epochs-1."""
        warm = self.warmup.factor(epoch)
        return 1.0 if warm is None else warm


class Cosine:
    """Half a cosine from 1 towards `min_factor`, which it would reach in the epoch after the last one.

    Without warm-up it is torch's CosineAnnealingLR with T_max = num_epochs.

    Args:
        min_factor: where it ends.
        warmup_epochs: number of warm-up epochs.
        warmup: `constant` or `linear`, see `Warmup`.
        warmup_factor: where warm-up starts.
    """

    def __init__(
        self,
        *,
        min_factor: Annotated[float, Between(0, 1)] = 0.0,
        warmup_epochs: Annotated[int, Between(0, None)] = 0,
        warmup: Literal["constant", "linear"] = "linear",
        warmup_factor: Annotated[float, Between(0, 1)] = 0.1,
    ) -> None:
        self.min_factor = min_factor
        self.warmup = Warmup(warmup_epochs, warmup, warmup_factor)

    def factor(self, epoch: int, num_epochs: int) -> float:
        """Factor of the learning rates in an epoch 0…num_epochs-1."""
        warm = self.warmup.factor(epoch)
        if warm is not None:
            return warm
        # Also called for the epoch after the last one, when no epochs may remain.
        left = max(num_epochs - self.warmup.epochs, 1)
        done = min((epoch - self.warmup.epochs) / left, 1.0)
        return self.min_factor + (1 - self.min_factor) * (1 + math.cos(math.pi * done)) / 2


class Step:
    """Multiplied by `gamma` each time a share of the run has passed.

    Args:
        every: share of the whole run: 0.6 drops once, in epoch 60 of 100; 0.25 three times.
        gamma: the factor each time.
        warmup_epochs: number of warm-up epochs, counted within the run.
        warmup: `constant` or `linear`, see `Warmup`.
        warmup_factor: where warm-up starts.
    """

    def __init__(
        self,
        *,
        every: Annotated[float, Between(1e-6, 1)] = 0.6,
        gamma: Annotated[float, Between(0, 1)] = 0.1,
        warmup_epochs: Annotated[int, Between(0, None)] = 0,
        warmup: Literal["constant", "linear"] = "linear",
        warmup_factor: Annotated[float, Between(0, 1)] = 0.1,
    ) -> None:
        self.every, self.gamma = every, gamma
        self.warmup = Warmup(warmup_epochs, warmup, warmup_factor)

    def factor(self, epoch: int, num_epochs: int) -> float:
        """Factor of the learning rates in an epoch 0…num_epochs-1."""
        warm = self.warmup.factor(epoch)
        if warm is not None:
            return warm
        return float(self.gamma ** math.floor(epoch / (self.every * num_epochs) + 1e-9))


class MultiStep:
    """Multiplied by `gamma` at every milestone.

    Args:
        milestones: shares of the whole run, so that they hold for any number of epochs: 0.6 is epoch 60 of 100.
        gamma: the factor at each.
        warmup_epochs: number of warm-up epochs, counted within the run.
        warmup: `constant` or `linear`, see `Warmup`.
        warmup_factor: where warm-up starts.

    Raises:
        ConfigError: a milestone that is not between 0 and 1.
    """

    def __init__(
        self,
        *,
        milestones: Sequence[float] = (0.6, 0.8),
        gamma: Annotated[float, Between(0, 1)] = 0.1,
        warmup_epochs: Annotated[int, Between(0, None)] = 0,
        warmup: Literal["constant", "linear"] = "linear",
        warmup_factor: Annotated[float, Between(0, 1)] = 0.1,
    ) -> None:
        if not all(0 < milestone < 1 for milestone in milestones):
            remedy = "write epoch 60 of 100 as 0.6"
            raise ConfigError(
                "schedule.milestones",
                list(milestones),
                "not shares of the run",
                allowed="between 0 and 1",
                remedy=remedy,
            )
        self.milestones, self.gamma = tuple(milestones), gamma
        self.warmup = Warmup(warmup_epochs, warmup, warmup_factor)

    def factor(self, epoch: int, num_epochs: int) -> float:
        """Factor of the learning rates in an epoch 0…num_epochs-1."""
        warm = self.warmup.factor(epoch)
        if warm is not None:
            return warm
        # A rounded product such as 3.0000000000000004 must not delay the milestone by an epoch.
        passed = sum(epoch >= milestone * num_epochs - 1e-9 for milestone in self.milestones)
        return float(self.gamma**passed)
