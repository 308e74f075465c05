"""Several processes that fit one model together, each on its share of every batch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Item = TypeVar("Item")


@dataclass(frozen=True)
class Team:
    """A process's place among those that fit a model; alone, nothing here does anything.

    Attributes:
        rank: 0 keeps the record.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    def share(self, batch: Sequence[Item]) -> Sequence[Item]:
        """This process's part of a batch; the parts are as equal as can be, and every item is in one of them."""
        start, stop = (len(batch) * n // self.size for n in (self.rank, self.rank + 1))
        return batch[start:stop]

    def total(self, number: int, device: torch.device) -> int:
        """The sum of every process's number."""
        if self.size == 1:
            return number
        count = torch.tensor([number], device=device)
        dist.all_reduce(count)
        return int(count)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Puts the mean over the processes in place of tensors; each process must give the same ones."""
        if self.size == 1:
            return
        for tensor in tensors:
            dist.all_reduce(tensor)
            tensor /= self.size


ALONE = Team()
