"""`run_shared` as a CUDA graph: for few ranks a GPU would spend its time waiting for a thousand small kernels.

A graph is captured once and replayed as one launch, the same kernels on the same numbers. It stands for one shape, one
precision and one set of weights in memory, and has one place for activations, so a second forward pass before the first
one's backward pass is run the ordinary way. What a new graph gives is compared with the ordinary pass before it is
used.
"""

import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from ordinalclip.shared_prefix import Block, fits_at_once, run_shared

_LOGGER = logging.getLogger(__name__)
# Relative; float16's and bfloat16's results move by less when kernels sum in another order. A wrong graph is off by 1.
_LARGEST_DIFFERENCE = 0.03

Replay = Callable[[Tensor, Tensor, Tensor], Tensor]
Capture = Callable[[Callable[..., Tensor], tuple[Tensor, ...]], Replay]


@runtime_checkable
class Replaying(Protocol):
    """A text tower whose pass can be replayed."""

    def replay(self, graphs: "GraphedRun | None") -> None:
        """What runs shared prefixes from here on: CUDA graphs, or None: kernel by kernel."""
        ...


def replay_text(tower: object, *, wanted: bool) -> None:
    """Has a text tower's passes replayed or run kernel by kernel from here on.

    Args:
        tower: of any kind; one that has no graphs says so.
        wanted: whether they are to be replayed.
    """
    if isinstance(tower, Replaying):
        tower.replay(GraphedRun() if wanted else None)
    elif wanted:
        _LOGGER.warning("text_graph=true: nothing comes of it, a %s is run kernel by kernel", type(tower).__name__)


class _Pending:
    """A forward pass whose backward pass is still to come; it goes with the node of the graph that it is tied to."""


class GraphedRun:
    """`run_shared` through a frozen tower on a CUDA GPU, replayed; in all other cases run kernel by kernel.

    Args:
        capture: as `torch.cuda.make_graphed_callables`.
        device_type: where graphs are used.
    """

    def __init__(self, capture: Capture | None = None, device_type: str = "cuda") -> None:
        self._capture = cast(Capture, torch.cuda.make_graphed_callables) if capture is None else capture
        self._device_type = device_type
        self._key: object = None
        self._graph: Replay | None = None
        self._failed = False
        self._pending: Callable[[], _Pending | None] = lambda: None

    def __call__(
        self, blocks: Sequence[Block], weights: Sequence[Tensor], prefix_PW: Tensor, own_RTW: Tensor, last_R: Tensor
    ) -> Tensor:
        """What the last block makes of each sentence's last token [R, W].

        Args:
            blocks: see `run_shared`.
            weights: all that the blocks compute with.
            prefix_PW: see `run_shared`.
            own_RTW: see `run_shared`.
            last_R: see `run_shared`.
        """
        if not self._applies(weights, prefix_PW, own_RTW):
            return run_shared(blocks, prefix_PW, own_RTW, last_R)
        graph = self._graph_of(blocks, weights, prefix_PW, own_RTW, last_R)
        if graph is None:
            return run_shared(blocks, prefix_PW, own_RTW, last_R)
        found = graph(prefix_PW, own_RTW, last_R)
        pending = _Pending()
        cast(Any, found.grad_fn).metadata["pending"] = pending  # its type says it were a method
        self._pending = weakref.ref(pending)
        found.register_hook(self._done)
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> "GraphedRun":
        return GraphedRun(self._capture, self._device_type)  # the copy's weights are others

    def _applies(self, weights: Sequence[Tensor], prefix_PW: Tensor, own_RTW: Tensor) -> bool:
        return (
            own_RTW.device.type == self._device_type
            and torch.is_grad_enabled()
            and (own_RTW.requires_grad or prefix_PW.requires_grad)
            and not any(weight.requires_grad for weight in weights)
            and len(prefix_PW) > 0
            and fits_at_once(own_RTW)
            and self._pending() is None
            and not self._failed
        )

    def _graph_of(self, blocks: Sequence[Block], weights: Sequence[Tensor], *inputs: Tensor) -> Replay | None:
        kind = self._device_type
        autocast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        shapes = tuple((tensor.shape, tensor.dtype, tensor.requires_grad) for tensor in inputs)
        # A tower may have been to the CPU and back since: its weights lie elsewhere then.
        key = (shapes, autocast, tuple(weight.data_ptr() for weight in weights))
        if self._graph is not None and key == self._key:
            return self._graph
        self._graph = None  # its memory is free before the next one's is taken

        def ordinary(*given: Tensor) -> Tensor:
            return run_shared(blocks, *given)

        try:
            # Casts of weights are part of the graph; autocast's own memory of them ends with each step.
            with torch.autocast(kind, dtype=autocast, enabled=autocast is not None, cache_enabled=False):
                graph = self._capture(ordinary, _fresh(inputs))
                differ = _difference(_both(graph, _fresh(inputs)), _both(ordinary, _fresh(inputs)))
        except RuntimeError as error:
            self._give_up(f"no CUDA graph can be made of the text tower's pass: {error}")
            return None
        if not differ < _LARGEST_DIFFERENCE:
            self._give_up(f"the text tower's CUDA graph is wrong by {differ:.1e}")
            return None
        self._key, self._graph = key, graph
        return graph

    def _give_up(self, problem: str) -> None:
        self._failed = True
        _LOGGER.warning("text_graph: %s; it is run kernel by kernel", problem)

    def _done(self, _: Any) -> None:
        self._pending = lambda: None


def _fresh(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in inputs)


def _both(run: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What a pass gives, with the gradients of a weighted sum of it."""
    found = run(*inputs)
    weighting = torch.linspace(-1, 1, found.numel(), device=found.device, dtype=found.dtype).view_as(found)
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    return found.detach().clone(), *(
        gradient.clone() for gradient in torch.autograd.grad((found * weighting).sum(), wanted)
    )


def _difference(ours: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest norm of a difference, relative to the norm of what is expected."""
    return max(float((a - b).norm() / b.norm().clamp(min=1e-30)) for a, b in zip(ours, expected, strict=True))
