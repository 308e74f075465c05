"""Data-parallel training: each process's share of a batch, reductions over processes, a gathered batch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Item = TypeVar("Item")


@dataclass(frozen=True)
class World:
    """The processes that fit one model together, seen from one of them. With one process every method is a no-op.

    Attributes:
        rank: index of this process; process 0 writes the record.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    def share(self, batch: Sequence[Item]) -> Sequence[Item]:
        """Returns this process's part of a batch. The sizes of the parts differ by at most one."""
        start, stop = (len(batch) * n // self.size for n in (self.rank, self.rank + 1))
        return batch[start:stop]

    def total(self, number: int, device: torch.device) -> int:
        """Returns the sum of a number over the processes."""
        if self.size == 1:
            return number
        count = torch.tensor([number], device=device)
        dist.all_reduce(count)
        return int(count)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replaces each tensor by its mean over the processes, in place. The order must agree in all processes."""
        if self.size == 1:
            return
        for tensor in tensors:
            dist.all_reduce(tensor)
            tensor /= self.size


SINGLE_PROCESS = World()


def gather_batch(logits_BR: Tensor, rank_B: Tensor) -> tuple[Tensor, Tensor]:
    """Gathers logits and ranks from all processes in their order; returns the inputs if there is one process.

    A loss over the result is the whole batch's loss, in every process. Each process backpropagates through its own
    images only, with gradients scaled by the number of processes W: DDP divides the sum of the W gradients by W, but
    each process already holds its share of the whole batch's gradient, not an estimate of it.

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
        own = logits_BR.view_as(logits_BR)  # so that the hook does not scale other uses of the logits
        own.register_hook(lambda gradient: gradient * num_processes)
        logits[dist.get_rank()] = own
    return torch.cat(logits), torch.cat(ranks)


def _gather(tensor: Tensor, sizes: list[int]) -> list[Tensor]:
    """Every process's rows. They are sent in padded blocks, since all_gather needs equal sizes."""
    block = tensor.new_zeros(max(sizes), *tensor.shape[1:])
    block[: len(tensor)] = tensor
    blocks = [torch.empty_like(block) for _ in sizes]
    dist.all_gather(blocks, block)
    return [rows[:size] for rows, size in zip(blocks, sizes, strict=True)]


def best_device() -> torch.device:
    """Returns the GPU if one is available, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
