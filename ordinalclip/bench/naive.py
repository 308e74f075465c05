"""The naive implementation of benchmarks, and the models and images on which they run.

The naive implementation encodes 77 tokens per sentence, one rank after the other, and caches nothing: images are
decoded and encoded at each use, and rank features are computed for every batch, also in evaluation. It uses this
project's modules, except for open_clip's QuickGELU. Models have the real architecture with random weights.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from ordinalclip.backbones.load import load_backbone
from ordinalclip.backbones.towers.openclip_causal import CausalText
from ordinalclip.backbones.towers.openclip_models import LeanQuickGELU
from ordinalclip.backbones.weights.find import WeightFile
from ordinalclip.config.schema import PARTS
from ordinalclip.images.decoding import open_rgb
from ordinalclip.images.preprocessing import Preprocessing
from ordinalclip.model import OrdinalCLIP, Output
from ordinalclip.optimizers.parameter_groups import freeze
from ordinalclip.prompts.rank import RankPrompt

BATCH_SIZE = 32
NUM_CONTEXT_TOKENS = 10

ALL_RANKS = slice(None)


def build_model(name: str, num_ranks: int, *, trained: Sequence[str], cache_dir: Path) -> OrdinalCLIP:
    """Returns a model with rank prompts on an open_clip model; its random weights are the same at every call.

    Args:
        name: Name of the open_clip model.
        num_ranks: R.
        trained: Parts that are not frozen.
        cache_dir: Folder of the cache.
    """
    trainable = {part: 1e-4 if part in trained else None for part in PARTS}
    backbone = load_backbone(
        {"_target_": "ordinalclip.backbones.openclip.build_openclip", "model": name, "tag": "openai"},
        weights={"all": WeightFile("random", None, "random")},
        trainable=trainable,
        cache_dir=cache_dir,
        seed=0,
    )
    torch.manual_seed(0)
    prompt = RankPrompt(
        tokens_per_rank=1,
        rank_init="random",
        num_context_tokens=NUM_CONTEXT_TOKENS,
        text=backbone.text,
        embed_dim=backbone.embed_dim,
        rank_names=[str(rank) for rank in range(num_ranks)],
    )
    model = OrdinalCLIP(backbone, prompt)
    freeze(model, trainable)
    return model.train()


def write_images(folder: Path, number: int, *, side: int, kind: str) -> list[Path]:
    """Writes image files of smooth noise and returns their paths.

    Args:
        folder: Folder of the files, created if it is missing.
        number: Number of files.
        side: Width and height in pixels.
        kind: File extension, `png` or `jpg`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    paths = [folder / f"{index:05d}.{kind}" for index in range(number)]
    for path in paths:
        coarse = Image.fromarray(draw.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(path)
    return paths


def whole_sentences(tower: CausalText, prompt: RankPrompt, ranks: slice = ALL_RANKS) -> Tensor:
    """Returns rank features [R, D] of some ranks from sentences padded to the tower's context length."""
    padded, eot = _padded(tower, prompt, ranks)
    with published_activation(tower):
        return tower.encode(padded, eot)


def rank_by_rank(tower: CausalText, prompt: RankPrompt, ranks: slice = ALL_RANKS) -> Tensor:
    """Returns the same as `whole_sentences`, computed one rank after the other."""
    padded, eot = _padded(tower, prompt, ranks)
    with published_activation(tower):
        return torch.cat([tower.encode(padded[r : r + 1], eot[r : r + 1]) for r in range(len(padded))])


@contextmanager
def published_activation(module: nn.Module) -> Iterator[None]:
    """Context in which a module uses open_clip's QuickGELU; the backward pass may follow after the context."""
    from open_clip.transformer import QuickGELU

    lean = [
        (parent, name)
        for parent in module.modules()
        for name, child in parent.named_children()
        if type(child) is LeanQuickGELU
    ]
    kept = [parent.get_submodule(name) for parent, name in lean]
    for parent, name in lean:
        setattr(parent, name, QuickGELU())
    try:
        yield
    finally:
        for (parent, name), activation in zip(lean, kept, strict=True):
            setattr(parent, name, activation)


def _padded(tower: CausalText, prompt: RankPrompt, ranks: slice) -> tuple[Tensor, Tensor]:
    tokens = prompt()
    embeddings = tokens.embeddings[ranks]
    return F.pad(embeddings, (0, 0, 0, tower.context_length - embeddings.shape[1])), tokens.eot[ranks]


def naive_output(model: OrdinalCLIP, images: Tensor) -> Output:
    """Returns the output of a batch, with rank features computed for this batch."""
    tower, prompt = cast(CausalText, model.backbone.text), cast(RankPrompt, model.prompt)
    with published_activation(model):
        return model(images=images, rank_features=F.normalize(rank_by_rank(tower, prompt), dim=-1))


def naive_epoch(
    model: OrdinalCLIP,
    loss: nn.Module,
    optimizer: Optimizer,
    train: Sequence[tuple[Sequence[Path], Tensor]],
    val: Sequence[tuple[Sequence[Path], Tensor]],
) -> Tensor:
    """Runs a training epoch of a prompt on a frozen image tower, and a validation pass.

    Args:
        model: Model in training mode.
        loss: Loss of outputs and ranks.
        optimizer: Optimizer of the trained parameters.
        train: Batches of image files and their ranks [B].
        val: The same for validation.

    Returns:
        Validation logits [N, R].
    """
    for images, rank in decoded(train, model.backbone.preprocessing):
        optimizer.zero_grad()
        loss(naive_output(model, images), rank)["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        return torch.cat([naive_output(model, x).logits for x, _ in decoded(val, model.backbone.preprocessing)])


def decoded(
    batches: Sequence[tuple[Sequence[Path], Tensor]], preprocessing: Preprocessing
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields batches of images [B, 3, H, W], decoded one after the other, and their ranks."""
    for paths, rank in batches:
        yield torch.stack([preprocessing.to_tensor(open_rgb(path)) for path in paths]), rank
