"""One batch over several processes, as if it were in one."""

import torch
import torch.distributed as dist
from torch import Tensor


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
