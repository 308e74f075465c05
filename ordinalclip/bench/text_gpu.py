"""Benchmark of the text tower on a CUDA GPU, in float32 and under autocast, against R sentences of 77 tokens."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from tqdm import tqdm

from ordinalclip.backbones.towers.openclip_causal import CausalText
from ordinalclip.bench.measure import alternate, kept_bytes
from ordinalclip.bench.naive import whole_sentences
from ordinalclip.bench.results import Row, Section
from ordinalclip.bench.text import forward_backward, largest_difference, random_text_tower, rank_prompt
from ordinalclip.prompts.rank import RankPrompt

RANKS = (5, 8, 101, 512, 1024)
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
ROUNDS = 20

TEXT = """As *Text tower* above, for ViT-B/16's on a GPU: forward and backward pass of rank prompts through a frozen
tower with random weights, all under the same autocast. *Naive* is R sentences of 77 tokens as one batch, *trimmed* R
sentences up to EOT, *shared* runs the context once. A GPU waits for the shared prefix's thousand small kernels to be
launched, as long for 5 ranks as for 500. Hence training there runs trimmed sentences as long as all of them have no
more tokens than naive's have where naive, too, is the faster one: 616 in float32 (8 ranks of 77), 7,777 under autocast
to half precision (101 ranks of 77). Beyond, it runs the shared prefix. *Memory* is what shared's forward pass keeps for
the backward pass, autocast's casts of the weights included. *Differ by* is from float32's naive result, relative to its
norm, for shared and, in brackets, for naive."""

Pass = Callable[[], tuple[Tensor, ...]]


def measure_text_gpu(*, quick: bool) -> Iterator[Section]:
    """Measures all precisions and numbers of ranks; yields nothing if there is no GPU, so that the page keeps its rows.

    Args:
        quick: Use two numbers of ranks and one round.
    """
    if not torch.cuda.is_available():
        print("text_gpu: skipped, there is no CUDA GPU")
        return
    rows: list[Row] = []
    for num_ranks in tqdm(RANKS[:2] if quick else RANKS, desc="text tower on a GPU", unit="size"):
        rows += measure_precisions(num_ranks, torch.device("cuda"), 1 if quick else ROUNDS)
        yield Section("Text tower on a GPU", TEXT, list(rows))


def measure_precisions(num_ranks: int, device: torch.device, rounds: int) -> Iterator[Row]:
    """Yields one row per precision.

    Args:
        num_ranks: R.
        device: Device to compute on.
        rounds: Timed calls of each mode.
    """
    tower = random_text_tower("ViT-B-16").to(device)
    prompt = rank_prompt(tower, num_ranks).to(device)
    wait = torch.cuda.synchronize if device.type == "cuda" else torch.cpu.synchronize
    expected = forward_backward(tower, prompt, whole_sentences)()
    for name, dtype in PRECISIONS.items():
        cast = partial(torch.autocast, device.type, dtype=dtype, enabled=dtype is not None)
        passes = {mode: _under(cast, forward_backward(tower, prompt, way)) for mode, way in WAYS.items()}
        found = {mode: run() for mode, run in passes.items()}
        seconds = alternate(passes, rounds, wait)
        with cast():
            kept = {mode: kept_bytes(partial(way, tower, prompt), tower, prompt) for mode, way in WAYS.items()}
        differ = {
            part: [largest_difference(found[mode][rows], expected[rows]) for mode in ("shared", "naive")]
            for part, rows in (("features", slice(0, 1)), ("gradients", slice(1, None)))
        }
        yield {
            "precision": name,
            "ranks": num_ranks,
            **{f"{mode}, ms": value * 1e3 for mode, value in seconds.items()},
            **{f"{mode}, times faster": seconds["naive"] / seconds[mode] for mode in ("trimmed", "shared")},
            "shared, MiB": kept["shared"] / 2**20,
            "times less memory": kept["naive"] / kept["shared"],
            **{f"{part} differ by": f"{ours:.1e} ({naive:.1e})" for part, (ours, naive) in differ.items()},
        }


def trimmed(tower: CausalText, prompt: RankPrompt) -> Tensor:
    """Returns rank features [R, D] from sentences trimmed at EOT."""
    tokens = prompt()
    return tower.encode(tokens.embeddings, tokens.eot)


def shared(tower: CausalText, prompt: RankPrompt) -> Tensor:
    """Returns rank features [R, D] with a shared prefix, on any device."""
    tokens = prompt()
    return tower.encode_shared(tokens.embeddings, tokens.eot, tokens.prefix_length)


WAYS: dict[str, Callable[[CausalText, RankPrompt], Tensor]] = {
    "naive": whole_sentences,
    "trimmed": trimmed,
    "shared": shared,
}


def _under(cast: Callable[[], torch.autocast], run: Pass) -> Pass:
    def autocast() -> tuple[Tensor, ...]:
        with cast():
            return run()

    return autocast
