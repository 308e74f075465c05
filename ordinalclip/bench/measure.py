"""Time, memory and work of ways to compute the same thing, measured side by side."""

import time
import weakref
from collections.abc import Callable, Collection, Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from torch.utils.weak import WeakIdKeyDictionary

PEAK_SIDES = (1024, 2048, 4096)  # of the square matrices whose product is the fastest thing there is


def no_wait() -> None:
    """Nothing to wait for: the CPU is done when a call returns."""


def alternate(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    wait: Callable[[], object] = no_wait,
    settled: Collection[str] = (),
) -> dict[str, float]:
    """Median seconds of each way.

    The ways take turns, so that whatever else the machine does falls on all of them.

    Args:
        ways: what to run, by name; run before, where a first time is slower.
        rounds: how often each way is timed.
        wait: returns when all that was asked for is computed, such as `torch.cuda.synchronize`.
        settled: ways that are timed right after an untimed run of themselves, as a step of training follows its like;
            else they would pay for the state in which another way has left the process's memory.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            if name in settled:
                run()
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


class _Living(TorchDispatchMode):
    """Bytes of tensors made under it that live now, and the most there ever were; each storage is counted once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._counted = WeakIdKeyDictionary()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for storage in _storages((args, kwargs)):
            self._counted.setdefault(storage, 0)  # was there before: views of it take nothing
        result = function(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage not in self._counted:
                self._count(storage)
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        self._counted[storage] = size
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.now -= size


def _storages(values: Any) -> list[torch.UntypedStorage]:
    return [value.untyped_storage() for value in tree_leaves(values) if isinstance(value, Tensor)]


def peak_bytes(run: Callable[[], object]) -> int:
    """The most bytes of tensors that a run has at once, temporaries included, what was there before it not.

    What an operation takes within itself is not seen.
    """
    run()  # what is made once and kept, such as masks
    with _Living() as living:
        run()
    return living.most


def matrix_peak(dtype: torch.dtype, rounds: int = 3) -> float:
    """The most operations a second, a multiplication and an addition being two, that a product of matrices reaches.

    Args:
        dtype: of the matrices.
        rounds: how often each size is timed; the fastest counts.
    """
    best = 0.0
    for side in PEAK_SIDES:
        left, right = torch.randn(2, side, side).to(dtype)
        left @ right  # a first time is slower
        for _ in range(rounds):
            started = time.perf_counter()
            left @ right
            best = max(best, 2 * side**3 / (time.perf_counter() - started))
    return best


def operations(run: Callable[[], object]) -> int:
    """Operations of all products of matrices and convolutions in a run, a multiplication and an addition being two."""
    aten = torch.ops.aten
    on_cpu: dict[Any, Any] = {  # which torch does not count
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    with FlopCounterMode(display=False, custom_mapping=on_cpu) as counted:
        run()
    return counted.get_total_flops()


def _attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return int(sdpa_backward_flop_count(gradient, query, key, value))
