"""The text tower: R prompts with the shared prefix run once, against R sentences of 77 tokens."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from ordinalclip.backbones.openclip_text import CausalText
from ordinalclip.bench.measure import alternate, kept_bytes
from ordinalclip.bench.naive import rank_by_rank, whole_sentences
from ordinalclip.bench.section import Row, Section
from ordinalclip.prompts.rank import RankPrompt
from ordinalclip.text import encode_prompts

MODELS = ("ViT-B-16", "RN50", "ViT-L-14")
RANKS = (5, 8, 101, 512, 1024)
LONGEST_NAIVE = 101  # ranks; what takes longer is extrapolated from there
ROUNDS = 3
NUM_CONTEXT_TOKENS = 10

TEXT = """Forward and backward pass of rank prompts (10 learned context tokens, one token per rank, a full stop) through
a frozen text tower with random weights, in float32. *Naive* pads every sentence to 77 tokens, as the method's first
code does; *loop* besides runs one rank after the other. *Ours* is what training uses: sentences end at EOT, the context
is run once for all ranks, and the last layer computes only what EOT needs. *Memory* is what a forward pass keeps for
the backward pass, weights not counted. *Differs by* is the norm of the difference from the naive result, relative to
its norm: rank features, and gradients of context and base ranks. Where naive is *extrapolated*, it is from {longest}
ranks: its cost is proportional to their number; these rows take turns with each other."""


class Naive(NamedTuple):
    """What the naive modes take, measured at `num_ranks`."""

    num_ranks: int
    whole: float  # seconds
    loop: float
    kept: float  # bytes


def measure_text(*, quick: bool) -> Iterator[Section]:
    """Measure all models and numbers of ranks; yields what there is after each model.

    Args:
        quick: one model, two numbers of ranks, one round.
    """
    models, ranks, rounds = (MODELS[:1], (5, 8), 1) if quick else (MODELS, RANKS, ROUNDS)
    rows: list[Row] = []
    for model in models:
        tower = random_text_tower(model)
        found, naive = [], None
        for num_ranks in tqdm([size for size in ranks if size <= LONGEST_NAIVE], desc=f"text tower of {model}"):
            row, naive = measure_ranks(tower, num_ranks, rounds)
            found.append(row)
        if naive is not None:
            found += measure_more(tower, [size for size in ranks if size > LONGEST_NAIVE], naive, rounds)
        rows += [{"text tower": model, **row} for row in found]
        yield Section("Text tower", TEXT.format(longest=LONGEST_NAIVE), list(rows))


def random_text_tower(model: str) -> CausalText:
    """The text tower of an open_clip model, frozen, with random weights and the activation of OpenAI's."""
    import open_clip
    from open_clip.model import CLIP

    config = cast(dict[str, Any], open_clip.get_model_config(model))
    # The image tower is not looked at.
    vision = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8}
    torch.manual_seed(0)
    clip = CLIP(config["embed_dim"], vision, config["text_cfg"], quick_gelu=True)
    return CausalText(clip, open_clip.SimpleTokenizer()).eval().requires_grad_(False)


def measure_ranks(tower: CausalText, num_ranks: int, rounds: int) -> tuple[Row, Naive]:
    """One row with all modes in turns, and the naive modes' cost for larger ones.

    Args:
        tower: text tower.
        num_ranks: R.
        rounds: how often each mode is timed.
    """
    prompt = rank_prompt(tower, num_ranks)
    whole, loop, ours = (
        forward_backward(tower, prompt, features) for features in (whole_sentences, rank_by_rank, shared_prefix)
    )
    found, expected = ours(), whole()
    seconds = alternate({"whole": whole, "loop": loop, "ours": ours}, rounds)
    kept = kept_bytes(lambda: whole_sentences(tower, prompt), tower, prompt)
    naive = Naive(num_ranks, seconds["whole"], seconds["loop"], kept)
    row = _row(tower, prompt, naive, seconds["ours"])
    row["features differ by"] = largest_difference(found[:1], expected[:1])
    row["gradients differ by"] = largest_difference(found[1:], expected[1:])
    return row, naive


def measure_more(tower: CausalText, sizes: Sequence[int], naive: Naive, rounds: int) -> Iterator[Row]:
    """A row for each of these numbers of ranks, which take turns, beside an extrapolated naive mode.

    Args:
        tower: text tower.
        sizes: R, larger than naive's.
        naive: cost at a smaller R.
        rounds: how often each is timed.
    """
    prompts = {str(size): rank_prompt(tower, size) for size in sizes}
    ways = {name: forward_backward(tower, prompt, shared_prefix) for name, prompt in prompts.items()}
    for run in ways.values():
        run()
    for name, seconds in alternate(ways, rounds).items():
        yield _row(tower, prompts[name], naive, seconds)


def _row(tower: CausalText, prompt: RankPrompt, naive: Naive, seconds: float) -> Row:
    num_ranks = len(prompt.rank_names)
    kept = kept_bytes(lambda: shared_prefix(tower, prompt), tower, prompt)
    scale = num_ranks / naive.num_ranks
    return {
        "ranks": num_ranks,
        "naive": "measured" if num_ranks == naive.num_ranks else "extrapolated",
        "ours, ms": seconds * 1e3,
        "times faster than naive": naive.whole * scale / seconds,
        "than the loop": naive.loop * scale / seconds,
        "ours, MiB": kept / 2**20,
        "times less memory": naive.kept * scale / kept,
        "features differ by": None,
        "gradients differ by": None,
    }


def rank_prompt(tower: CausalText, num_ranks: int) -> RankPrompt:
    """A rank prompt of one token a rank behind a random context, on the CPU."""
    return RankPrompt(
        tokens_per_rank=1,
        rank_init="random",
        num_context_tokens=NUM_CONTEXT_TOKENS,
        text=tower,
        embed_dim=tower.embed_dim,
        rank_names=[str(rank) for rank in range(num_ranks)],
    )


def shared_prefix(tower: CausalText, prompt: RankPrompt) -> Tensor:
    """Rank features as training computes them."""
    return encode_prompts(tower, prompt())


def forward_backward(
    tower: CausalText, prompt: RankPrompt, features: Callable[[CausalText, RankPrompt], Tensor]
) -> Callable[[], tuple[Tensor, ...]]:
    """A forward and backward pass that returns features and gradients."""
    parameters = list(prompt.parameters())

    def run() -> tuple[Tensor, ...]:
        found = features(tower, prompt)
        weighting = torch.linspace(-1, 1, found.numel(), device=found.device).view_as(found)
        return found.detach(), *torch.autograd.grad((F.normalize(found, dim=-1) * weighting).sum(), parameters)

    return run


def largest_difference(ours: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    """The largest norm of a difference, relative to the norm of what is expected."""
    return max(float((a - b).norm() / b.norm()) for a, b in zip(ours, expected, strict=True))
