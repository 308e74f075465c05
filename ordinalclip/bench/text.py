"""Benchmark of the text tower: R prompts with a shared prefix against R sentences of 77 tokens."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from ordinalclip.backbones.towers.openclip_causal import CausalText
from ordinalclip.backbones.towers.openclip_models import replace_quick_gelu
from ordinalclip.bench.measure import alternate, operations, peak_bytes
from ordinalclip.bench.naive import rank_by_rank, whole_sentences
from ordinalclip.bench.results import Row, Section
from ordinalclip.prompts.rank import RankPrompt
from ordinalclip.text.encoding import encode_prompts

MODELS = ("ViT-B-16", "RN50", "ViT-L-14")
RANKS = (5, 8, 101, 512, 1024)
MAX_NAIVE_RANKS = 512  # naive times of more ranks are extrapolated
CHUNK = 64  # ranks per naive pass if there are more than twice as many: 512 at once would need 20 GB
ROUNDS, ROUNDS_OF_CHUNKS = 5, 3
NUM_CONTEXT_TOKENS = 10

TEXT = """Forward and backward pass of rank prompts (10 learned context tokens, one token per rank, a full stop) through
a frozen text tower with random weights, in float32. *Naive* pads every sentence to 77 tokens, as the method's first
code does; *loop* besides runs one rank after the other. *Ours* is what training uses: sentences end at EOT, the context
is run once for all ranks, the last layer computes only what EOT needs, and QuickGELU keeps one tensor instead of two.
Each is timed right after an untimed pass of its own. *Operations* are those of products of matrices and of attention.
*Memory* is the most that tensors of a forward and backward pass take at once, temporaries included and weights not.
*Differs by* is the norm of the difference from the naive result, relative to its norm: rank features, and gradients of
context and base ranks. Many ranks naive takes in chunks of {chunk}, one after the other; its memory is a multiple of a
chunk's. Where it is *extrapolated*, it is from {longest} ranks, with which ours takes turns: its cost is proportional
to their number."""


def measure_text(*, quick: bool) -> Iterator[Section]:
    """Measures all models and numbers of ranks; yields the rows so far after each model.

    Args:
        quick: Use one model, two numbers of ranks, and one round.
    """
    models, ranks, rounds = (MODELS[:1], (5, 8), 1) if quick else (MODELS, RANKS, ROUNDS)
    rows: list[Row] = []
    for model in models:
        tower = random_text_tower(model)
        measured = [size for size in ranks if size <= MAX_NAIVE_RANKS]
        for num_ranks in tqdm(measured, desc=f"text tower of {model}", unit="size"):
            more = [size for size in ranks if size > MAX_NAIVE_RANKS and num_ranks == measured[-1]]
            turns = rounds if num_ranks <= 2 * CHUNK else min(rounds, ROUNDS_OF_CHUNKS)
            rows += [{"text tower": model, **row} for row in measure_ranks(tower, num_ranks, turns, more)]
        yield Section("Text tower", TEXT.format(chunk=CHUNK, longest=MAX_NAIVE_RANKS), list(rows))


def random_text_tower(model: str) -> CausalText:
    """Returns the frozen text tower of an open_clip model, with random weights and OpenAI's QuickGELU."""
    import open_clip
    from open_clip.model import CLIP

    config = cast(dict[str, Any], open_clip.get_model_config(model))
    # The image tower is not used.
    vision = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8}
    torch.manual_seed(0)
    clip = CLIP(config["embed_dim"], vision, config["text_cfg"], quick_gelu=True)
    replace_quick_gelu(clip)
    return CausalText(clip, open_clip.SimpleTokenizer()).eval().requires_grad_(False)


def measure_ranks(tower: CausalText, num_ranks: int, rounds: int, more: Sequence[int] = ()) -> list[Row]:
    """Returns a row for R ranks, and rows for more ranks with extrapolated naive times; all are timed in turns.

    Args:
        tower: Text tower.
        num_ranks: R.
        rounds: Timed calls of each mode.
        more: Larger numbers of ranks.
    """
    prompt, sizes = rank_prompt(tower, num_ranks), (num_ranks, *more)
    ours = {str(size): forward_backward(tower, rank_prompt(tower, size), shared_prefix) for size in sizes}
    whole, loop = (naive_pass(tower, prompt, way) for way in (whole_sentences, rank_by_rank))
    expected = whole()
    for run in ours.values():
        run()
    found = forward_backward(tower, prompt, shared_prefix)()
    ways = {"whole": whole, "loop": loop, **ours}
    some = CHUNK if num_ranks > 2 * CHUNK else num_ranks
    seconds = alternate(ways, rounds, settled=ways if some == num_ranks else ours)  # chunks already follow each other
    chunk = forward_backward(tower, rank_prompt(tower, some), whole_sentences)
    peak, work = peak_bytes(chunk) / some, operations(chunk) / some  # per rank
    rows: list[Row] = []
    for size in sizes:
        same, scale = size == num_ranks, size / num_ranks
        peak_ours = peak_bytes(ours[str(size)])
        row: Row = {
            "ranks": size,
            "naive": "measured" if same else "extrapolated",
            "ours, ms": seconds[str(size)] * 1e3,
            "times faster than naive": seconds["whole"] * scale / seconds[str(size)],
            "than the loop": seconds["loop"] * scale / seconds[str(size)],
            "times fewer operations": work * size / operations(ours[str(size)]),
            "ours, MiB": peak_ours / 2**20,
            "times less memory": peak * size / peak_ours,
            "features differ by": largest_difference(found[:1], expected[:1]) if same else None,
            "gradients differ by": largest_difference(found[1:], expected[1:]) if same else None,
        }
        rows.append(row)
    return rows


def rank_prompt(tower: CausalText, num_ranks: int) -> RankPrompt:
    """Returns a rank prompt with one token per rank after a random context, on the CPU."""
    return RankPrompt(
        tokens_per_rank=1,
        rank_init="random",
        num_context_tokens=NUM_CONTEXT_TOKENS,
        text=tower,
        embed_dim=tower.embed_dim,
        rank_names=[str(rank) for rank in range(num_ranks)],
    )


def shared_prefix(tower: CausalText, prompt: RankPrompt) -> Tensor:
    """Returns rank features as computed in training."""
    return encode_prompts(tower, prompt())


def forward_backward(
    tower: CausalText, prompt: RankPrompt, features: Callable[[CausalText, RankPrompt], Tensor]
) -> Callable[[], tuple[Tensor, ...]]:
    """Returns a function that runs a forward and backward pass and returns features and gradients."""
    parameters = list(prompt.parameters())

    def run() -> tuple[Tensor, ...]:
        found = features(tower, prompt)
        weighting = torch.linspace(-1, 1, found.numel(), device=found.device).view_as(found)
        return found.detach(), *torch.autograd.grad((F.normalize(found, dim=-1) * weighting).sum(), parameters)

    return run


def naive_pass(
    tower: CausalText, prompt: RankPrompt, features: Callable[[CausalText, RankPrompt, slice], Tensor]
) -> Callable[[], tuple[Tensor, ...]]:
    """Returns the same as `forward_backward`, in chunks of ranks to limit memory; gradients are accumulated."""
    parameters = list(prompt.parameters())

    def run() -> tuple[Tensor, ...]:
        num_ranks = len(prompt().eot)
        size = CHUNK if num_ranks > 2 * CHUNK else num_ranks
        weighting = torch.linspace(-1, 1, num_ranks * tower.embed_dim).view(num_ranks, -1)
        found, gradients = [], [torch.zeros_like(parameter) for parameter in parameters]
        for start in range(0, num_ranks, size):
            ranks = slice(start, start + size)
            some = features(tower, prompt, ranks)
            parts = torch.autograd.grad((F.normalize(some, dim=-1) * weighting[ranks]).sum(), parameters)
            for gradient, part in zip(gradients, parts, strict=True):
                gradient += part
            found.append(some.detach())
        return torch.cat(found), *gradients

    return run


def largest_difference(ours: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    """Returns the largest norm of a difference, relative to the norm of the expected tensor."""
    return max(float((a - b).norm() / b.norm()) for a, b in zip(ours, expected, strict=True))
