"""What benchmarks are run on: CLIP models of the true architecture with random weights, and made images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ordinalclip.backbones.load import load_backbone
from ordinalclip.backbones.weights import WeightFile
from ordinalclip.model import OrdinalCLIP
from ordinalclip.optim import freeze
from ordinalclip.prompts.rank import RankPrompt
from ordinalclip.schema import PARTS

BATCH_SIZE = 32
NUM_CONTEXT_TOKENS = 10


def made_model(name: str, num_ranks: int, *, trained: Sequence[str], cache_dir: Path) -> OrdinalCLIP:
    """Rank prompts on an open_clip model with random weights, the same at every call.

    Args:
        name: open_clip's.
        num_ranks: R.
        trained: parts that are not frozen.
        cache_dir: the platform's cache.
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


def made_images(folder: Path, number: int, *, side: int, kind: str) -> list[Path]:
    """Image files of smooth noise, of `side` × `side` pixels.

    Args:
        folder: is made.
        number: of files.
        side: in pixels.
        kind: the files' ending, `png` or `jpg`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    paths = [folder / f"{index:05d}.{kind}" for index in range(number)]
    for path in paths:
        coarse = Image.fromarray(draw.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(path)
    return paths
