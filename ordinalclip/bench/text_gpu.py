"""The text tower on a CUDA GPU, in float32 and under autocast, against R sentences of 77 tokens."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from tqdm import tqdm

from ordinalclip.bench.measure import alternate, kept_bytes
from ordinalclip.bench.naive import whole_sentences
from ordinalclip.bench.page import Row, Section
from ordinalclip.bench.text import forward_backward, largest_difference, random_text_tower, rank_prompt, shared_prefix

RANKS = (5, 8, 101, 512, 1024)
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
ROUNDS = 20
WARM_UP = 3

TEXT = """As *Text tower* below, for ViT-B/16's on a GPU: forward and backward pass of rank prompts through a frozen
tower with random weights. Both modes are under the same autocast, *naive* is R sentences of 77 tokens as one batch.
*Differs by* is from float32's naive result, relative to its norm, rank features and gradients, for ours and, in
brackets, for naive. With few ranks a GPU waits for its kernels to be launched, and their number is what counts."""

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
    tower = random_text_tower("ViT-B-16")
    prompt = rank_prompt(tower, num_ranks)
    tower.to(device)
    prompt.to(device)
    wait = torch.cuda.synchronize if device.type == "cuda" else torch.cpu.synchronize
    expected = forward_backward(tower, prompt, whole_sentences)()
    for name, dtype in PRECISIONS.items():
        cast = partial(torch.autocast, device.type, dtype=dtype, enabled=dtype is not None)
        naive, ours = (_under(cast, forward_backward(tower, prompt, way)) for way in (whole_sentences, shared_prefix))
        found = {"naive": naive(), "ours": ours()}
        for _ in range(WARM_UP):
            naive(), ours()
        seconds = alternate({"naive": naive, "ours": ours}, rounds, wait)
        with cast():
            kept = [kept_bytes(partial(way, tower, prompt), tower, prompt) for way in (whole_sentences, shared_prefix)]
        differ = {
            part: [largest_difference(found[mode][rows], expected[rows]) for mode in ("ours", "naive")]
            for part, rows in (("features", slice(0, 1)), ("gradients", slice(1, None)))
        }
        yield {
            "precision": name,
            "ranks": num_ranks,
            "naive, ms": seconds["naive"] * 1e3,
            "ours, ms": seconds["ours"] * 1e3,
            "times faster": seconds["naive"] / seconds["ours"],
            "ours, MiB": kept[1] / 2**20,
            "times less memory": kept[0] / kept[1],
            **{f"{part} differ by": f"{ours:.1e} ({naive:.1e})" for part, (ours, naive) in differ.items()},
        }


def _under(cast: Callable[[], torch.autocast], run: Pass) -> Pass:
    def autocast() -> tuple[Tensor, ...]:
        with cast():
            return run()

    return autocast
