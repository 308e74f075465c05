"""Several processes that fit one model: shares of a batch, sums and means over processes, a gathered batch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Item = TypeVar("Item")


@dataclass(frozen=True)
class World:
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


SINGLE_PROCESS = World()


def gather_batch(logits_BR: Tensor, rank_B: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and ranks of all processes' images, those of process 0 first; what is given where there is one process.

    A loss over the result is the whole batch's loss, in every process. Each process backpropagates through its own
    images only, and W times as much: DDP will divide the sum of the W processes' gradients by W, while each of them
    holds a share of the whole batch's gradient already, not an estimate of it.

    Args:
        logits_BR: logits [B, R] of this process; B may differ between processes.
        rank_B: their true ranks [B].
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return logits_BR, rank_B
    num_processes = dist.get_world_size()
    counts = [torch.zeros(1, dtype=torch.long, device=rank_B.device) for _ in range(num_processes)]
    dist.all_gather(counts, torch.tensor([len(rank_B)], device=rank_B.device))
    sizes = [int(count) for count in counts]
    logits, ranks = _gather(logits_BR.detach(), sizes), _gather(rank_B, sizes)
    if logits_BR.requires_grad:
        own = logits_BR.view_as(logits_BR)  # a hook on it leaves what others do with the logits alone
        own.register_hook(lambda gradient: gradient * num_processes)
        logits[dist.get_rank()] = own
    return torch.cat(logits), torch.cat(ranks)


def _gather(tensor: Tensor, sizes: list[int]) -> list[Tensor]:
    """Every process's rows; sent in blocks of one size, since that is all that is offered."""
    block = tensor.new_zeros(max(sizes), *tensor.shape[1:])
    block[: len(tensor)] = tensor
    blocks = [torch.empty_like(block) for _ in sizes]
    dist.all_gather(blocks, block)
    return [rows[:size] for rows, size in zip(blocks, sizes, strict=True)]


def best_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
