"""The text tower on a CUDA GPU, in float32 and under autocast, against R sentences of 77 tokens."""

import copy
import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from tqdm import tqdm

from ordinalclip.bench.measure import alternate
from ordinalclip.bench.naive import whole_sentences
from ordinalclip.bench.page import Row, Section
from ordinalclip.bench.text import forward_backward, largest_difference, random_text_tower, rank_prompt, shared_prefix
from ordinalclip.cuda_graphs import GraphedRun

RANKS = (5, 8, 101, 512, 1024)
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
ROUNDS = 20

TEXT = """As *Text tower* below, for ViT-B/16's on a GPU: forward and backward pass of rank prompts through a frozen
tower with random weights. Both modes are under the same autocast, *naive* is R sentences of 77 tokens as one batch.
For few ranks a GPU waits for a thousand small kernels to be launched; *replayed* has them in one CUDA graph, as
`text_graph=true`. *Memory* is the most that a pass takes at once. *Differ by* is from float32's naive result, relative
to its norm, for ours and, in brackets, for naive."""

Pass = Callable[[], tuple[Tensor, ...]]


def measure_text_gpu(*, quick: bool) -> Iterator[Section]:
    """Measure all precisions and numbers of ranks; nothing where there is no GPU, so the page keeps what it has.

    Args:
        quick: two numbers of ranks, one round.
    """
    if not torch.cuda.is_available():
        print("text_gpu: there is no CUDA GPU; left as it is")
        return
    rows: list[Row] = []
    for num_ranks in tqdm(RANKS[:2] if quick else RANKS, desc="text tower on a GPU", unit="size"):
        rows += measure_precisions(num_ranks, torch.device("cuda"), 1 if quick else ROUNDS)
        yield Section("Text tower on a GPU", TEXT, list(rows))


def measure_precisions(num_ranks: int, device: torch.device, rounds: int) -> Iterator[Row]:
    """A row for each precision.

    Args:
        num_ranks: R.
        device: to compute on.
        rounds: how often each mode is timed.
    """
    original = random_text_tower("ViT-B-16").to(device)
    prompt = rank_prompt(original, num_ranks).to(device)
    wait = torch.cuda.synchronize if device.type == "cuda" else torch.cpu.synchronize
    expected = forward_backward(original, prompt, whole_sentences)()
    for name, dtype in PRECISIONS.items():
        tower, graphed = original, copy.deepcopy(original)
        graphed.replay(GraphedRun(device_type=device.type) if device.type == "cuda" else None)
        cast = partial(torch.autocast, device.type, dtype=dtype, enabled=dtype is not None)
        ways = {
            "naive": _under(cast, forward_backward(tower, prompt, whole_sentences)),
            "ours": _under(cast, forward_backward(tower, prompt, shared_prefix)),
            "replayed": _under(cast, forward_backward(graphed, prompt, shared_prefix)),
        }
        memory = {mode: _peak_bytes(run, device) for mode, run in ways.items()}
        found = {mode: run() for mode, run in ways.items()}
        seconds = alternate(ways, rounds, wait)
        differ = {
            part: [largest_difference(found[mode][rows], expected[rows]) for mode in ("ours", "naive")]
            for part, rows in (("features", slice(0, 1)), ("gradients", slice(1, None)))
        }
        yield {
            "precision": name,
            "ranks": num_ranks,
            "naive, ms": seconds["naive"] * 1e3,
            "ours, ms": seconds["ours"] * 1e3,
            "replayed, ms": seconds["replayed"] * 1e3,
            "times faster": seconds["naive"] / seconds["ours"],
            "replayed": seconds["naive"] / seconds["replayed"],
            "ours, MiB": memory["ours"] / 2**20,
            "times less memory": memory["naive"] / memory["ours"],
            **{f"{part} differ by": f"{ours:.1e} ({naive:.1e})" for part, (ours, naive) in differ.items()},
        }


def _peak_bytes(run: Pass, device: torch.device) -> float:
    """The most memory that the first pass takes at once, beyond what lay there when it began; not known on a CPU."""
    if device.type != "cuda":
        return math.nan
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    return torch.cuda.max_memory_allocated() - before


def _under(cast: Callable[[], torch.autocast], run: Pass) -> Pass:
    def autocast() -> tuple[Tensor, ...]:
        with cast():
            return run()

    return autocast
