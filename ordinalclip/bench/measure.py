"""Measurements for benchmarks: time of alternatives in turns, memory of tensors, number of operations."""

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

PEAK_SIDES = (1024, 2048, 4096)  # sides of the square matrices whose product measures peak performance


def no_wait() -> None:
    """Does nothing: on the CPU a call returns when its result is computed."""


def alternate(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    wait: Callable[[], object] = no_wait,
    settled: Collection[str] = (),
) -> dict[str, float]:
    """Returns the median seconds of each way.

    The ways are timed in turns, so that other load on the machine affects all of them.

    Args:
        ways: Name → function to time. Warm up beforehand if the first call is slower.
        rounds: Number of timed calls of each way.
        wait: Function that waits for pending computations, such as `torch.cuda.synchronize`.
        settled: Ways with an untimed call right before each timed one, as consecutive steps in training. Otherwise
            their time depends on the memory state in which the previous way left the process.
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
    """Returns the bytes that a forward pass saves for the backward pass; each storage is counted once.

    This is the peak memory of activations without temporaries. Recomputed tensors (`torch.utils.checkpoint`) are not
    counted.

    Args:
        forward: Function that returns a tensor with a gradient.
        modules: Modules whose parameters and buffers are not counted.
    """
    own = {t.untyped_storage().data_ptr() for module in modules for t in [*module.parameters(), *module.buffers()]}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    # The result keeps all saved tensors alive, so that no address is reused while counting.
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    total = sum(sizes.values())
    del result
    return total


class _AllocatedBytes(TorchDispatchMode):
    """Current and peak bytes of the tensors created within the mode; each storage is counted once."""

    def __init__(self) -> None:
        super().__init__()
        self.current = self.peak = 0
        self._counted = WeakIdKeyDictionary()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for storage in _storages((args, kwargs)):
            self._counted.setdefault(storage, 0)  # existed before: its views need no memory
        result = function(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage not in self._counted:
                self._count(storage)
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        self._counted[storage] = size
        self.current += size
        self.peak = max(self.peak, self.current)
        weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.current -= size


def _storages(values: Any) -> list[torch.UntypedStorage]:
    return [value.untyped_storage() for value in tree_leaves(values) if isinstance(value, Tensor)]


def peak_bytes(run: Callable[[], object]) -> int:
    """Returns the peak bytes of the tensors created by a run, temporaries included.

    Tensors that existed before are not counted, nor is memory inside an operation.
    """
    run()  # warm-up: creates cached tensors, such as masks
    with _AllocatedBytes() as allocated:
        run()
    return allocated.peak


def matrix_peak(dtype: torch.dtype, rounds: int = 3) -> float:
    """Returns the peak operations per second of a matrix product; a multiply-add counts as two operations.

    Args:
        dtype: Data type of the matrices.
        rounds: Timed products of each size; the fastest counts.
    """
    best = 0.0
    for side in PEAK_SIDES:
        left, right = torch.randn(2, side, side).to(dtype)
        left @ right  # warm-up
        for _ in range(rounds):
            started = time.perf_counter()
            left @ right
            best = max(best, 2 * side**3 / (time.perf_counter() - started))
    return best


def operations(run: Callable[[], object]) -> int:
    """Returns the operations of all matrix products and convolutions in a run; a multiply-add counts as two."""
    aten = torch.ops.aten
    on_cpu: dict[Any, Any] = {  # not counted by torch
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
