"""The paper's model by its formulas: one rank at a time, 77 tokens each, in float64, from a checkpoint's names.

Written from the facts in the project's notes, for comparison only.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

SOT, EOT, FULL_STOP, PAD, LENGTH = 49406, 49407, 269, 0, 77

State = Mapping[str, Tensor]


def logits(image_BD: Tensor, rank_RD: Tensor, scale: float) -> Tensor:
    rows = [[scale * torch.dot(i, r) / (i.norm() * r.norm()) for r in rank_RD.double()] for i in image_BD.double()]
    return torch.stack([torch.stack(row) for row in rows])


def rank_features(state: State, words: Tensor, counts: Sequence[int], position: str, heads: int) -> Tensor:
    """[R, D] of sentences around the rows of `prompt_learner.rank_embeds`, or of `interpolated` where that is there."""
    rank_RTW = state.get("interpolated", state["prompt_learner.rank_embeds"]).double()
    context = state["prompt_learner.context_embeds"].double()
    features = []
    for rank, count in enumerate(counts):
        own_context = list(context[rank] if context.ndim == 3 else context)
        own_rank = list(rank_RTW[rank, :count])
        half = len(own_context) // 2
        pure = {
            "tail": own_context + own_rank,
            "front": own_rank + own_context,
            "middle": own_context[:half] + own_rank + own_context[half:],
        }[position]
        table = words.double()
        sentence = [table[SOT], *pure, table[FULL_STOP], table[EOT]]
        eot = len(sentence) - 1
        sentence += [table[PAD]] * (LENGTH - len(sentence))
        features.append(text(state, torch.stack(sentence), eot, heads))
    return torch.stack(features)


def interpolated(base_KTW: Tensor, num_ranks: int, kind: str) -> Tensor:
    """[R, T, W]: each rank's normalised mixture of the base ranks."""
    num_base = len(base_KTW)
    ranks = []
    for rank in range(num_ranks):
        weights = []
        for base in range(num_base):
            place = (num_ranks - 1) / 2 if num_base == 1 else base * (num_ranks - 1) / (num_base - 1)
            far = abs(rank - place)
            weights.append(
                {"linear": 1 - far / (num_ranks - 1), "inv_prop": 1 / (far + 1e-5), "normal": math.exp(-far * far)}[
                    kind
                ]
            )
        mixed = sum(weight * base for weight, base in zip(weights, base_KTW.double(), strict=True))
        ranks.append(mixed / sum(weights))
    return torch.stack(ranks)


def text(state: State, sentence_LW: Tensor, eot: int, heads: int) -> Tensor:
    x = sentence_LW + state["text_encoder.positional_embedding"].double()
    mask = torch.full((LENGTH, LENGTH), -math.inf, dtype=torch.float64).triu(1)
    x = blocks(state, "text_encoder.transformer", x, heads, mask)
    x = norm(state, "text_encoder.ln_final", x)[eot]
    return x @ state["text_encoder.text_projection"].double()


def vision_transformer(state: State, image: Tensor, heads: int) -> Tensor:
    """[D] of one image [3, H, W] through CLIP's own ViT."""
    weight = state["image_encoder.conv1.weight"].double()
    patch = weight.shape[-1]
    cut = image.double().unfold(1, patch, patch).unfold(2, patch, patch)  # [3, h, w, p, p]
    tokens = [(cut[:, i, j] * weight).sum((1, 2, 3)) for i in range(cut.shape[1]) for j in range(cut.shape[2])]
    x = torch.stack([state["image_encoder.class_embedding"].double(), *tokens])
    x = norm(state, "image_encoder.ln_pre", x + state["image_encoder.positional_embedding"].double())
    x = blocks(state, "image_encoder.transformer", x, heads, torch.zeros(len(x), len(x), dtype=torch.float64))
    return norm(state, "image_encoder.ln_post", x)[0] @ state["image_encoder.proj"].double()


def blocks(state: State, prefix: str, x: Tensor, heads: int, mask: Tensor) -> Tensor:
    count = len({name.split(".")[3] for name in state if name.startswith(f"{prefix}.resblocks.")})
    for index in range(count):
        block = f"{prefix}.resblocks.{index}"
        x = x + attention(state, f"{block}.attn", norm(state, f"{block}.ln_1", x), heads, mask)
        hidden = linear(state, f"{block}.mlp.c_fc", norm(state, f"{block}.ln_2", x))
        x = x + linear(state, f"{block}.mlp.c_proj", hidden * torch.sigmoid(1.702 * hidden))
    return x


def attention(state: State, prefix: str, x: Tensor, heads: int, mask: Tensor) -> Tensor:
    joined = x @ state[f"{prefix}.in_proj_weight"].double().T + state[f"{prefix}.in_proj_bias"].double()
    query, key, value = joined.chunk(3, dim=-1)
    width = x.shape[1] // heads
    seen = []
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        scores = query[:, own] @ key[:, own].T / math.sqrt(width) + mask
        seen.append(torch.softmax(scores, -1) @ value[:, own])
    return linear(state, f"{prefix}.out_proj", torch.cat(seen, -1))


def linear(state: State, prefix: str, x: Tensor) -> Tensor:
    return x @ state[f"{prefix}.weight"].double().T + state[f"{prefix}.bias"].double()


def norm(state: State, prefix: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * state[f"{prefix}.weight"].double() + state[f"{prefix}.bias"].double()
