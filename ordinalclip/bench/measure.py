"""Time and memory of ways to compute the same thing, measured side by side."""

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch
from torch import Tensor, nn


def no_wait() -> None:
    """Nothing to wait for: the CPU is done when a call returns."""


def alternate(
    ways: Mapping[str, Callable[[], object]], rounds: int, wait: Callable[[], object] = no_wait
) -> dict[str, float]:
    """Median seconds of each way.

    The ways take turns, so that whatever else the machine does falls on all of them.

    Args:
        ways: what to run, by name; run before, where a first time is slower.
        rounds: how often each way is timed.
        wait: returns when all that was asked for is computed, such as `torch.cuda.synchronize`.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            wait()
            started = time.perf_counter()
            run()
            wait()
            seconds[name].append(time.perf_counter() - started)
    return {name: median(taken) for name, taken in seconds.items()}


def kept_bytes(forward: Callable[[], Tensor], *modules: nn.Module) -> int:
    """Bytes that a forward pass keeps for the backward pass, every storage counted once.

    That is the peak of the activations' memory, but for temporaries. What is recomputed (`torch.utils.checkpoint`) is
    not kept and not counted.

    Args:
        forward: returns a tensor to call `backward` on.
        modules: their parameters and buffers are not counted.
    """
    own = {t.untyped_storage().data_ptr() for module in modules for t in [*module.parameters(), *module.buffers()]}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    # The result holds all that was packed, so that no address is used twice while we count.
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    total = sum(sizes.values())
    del result
    return total
