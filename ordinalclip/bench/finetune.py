"""A step that trains everything: what is left to gain where the image tower takes most of the time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.optim import Optimizer, RAdam

from ordinalclip.bench.made import BATCH_SIZE, made_model
from ordinalclip.bench.measure import alternate
from ordinalclip.bench.naive import naive_output
from ordinalclip.bench.page import Row, Section
from ordinalclip.image_training import speed_up
from ordinalclip.losses.ce_kl import CrossEntropyKL
from ordinalclip.model import OrdinalCLIP, Output

PARTS = ("context", "rank", "image", "text", "logit_scale")
TEXT = """One optimiser step (RAdam) of rank prompts, image tower and text tower together, random weights, 32 images of
the tower's size that are decoded already. *Naive* is float32 with rank features computed rank by rank from 77 tokens.
*Ours* in float32 has the same numbers; bfloat16 is autocast, as `trainer.precision=bf16-mixed`, and *compiled* adds
`compile=true`. *Loss* and *gradients differ by* are relative, all gradients taken as one vector."""

Step = Callable[[], tuple[float, Tensor]]


def measure_finetune(*, quick: bool) -> Iterator[Section]:
    """Measure fine-tuning steps; yields what there is after each model.

    Args:
        quick: a small model, few ranks, one round.
    """
    cases = (("RN50", 5, 4),) if quick else (("ViT-B-16", 101, BATCH_SIZE), ("ViT-B-16", 5, BATCH_SIZE))
    rows: list[Row] = []
    for name, num_ranks, batch_size in cases:
        rows += measure_step(name, num_ranks, batch_size, 1 if quick else 3)
        yield Section("Fine-tuning step", TEXT, list(rows))


def measure_step(name: str, num_ranks: int, batch_size: int, rounds: int) -> Iterator[Row]:
    """A row a way to take the step.

    Args:
        name: of the model.
        num_ranks: R.
        batch_size: B.
        rounds: how often each way is timed.
    """
    with TemporaryDirectory() as folder:
        model = made_model(name, num_ranks, trained=PARTS, cache_dir=Path(folder))
        compiled = made_model(name, num_ranks, trained=PARTS, cache_dir=Path(folder))
    speed_up(compiled.backbone.image, compiled=True)
    torch.manual_seed(0)
    images = torch.randn(batch_size, 3, model.backbone.preprocessing.size, model.backbone.preprocessing.size)
    rank = torch.arange(batch_size) % num_ranks
    ways: dict[str, Step] = {
        "naive": _step(model, images, rank, naive_output),
        "float32": _step(model, images, rank, _ours),
        "bfloat16": _step(model, images, rank, _ours_bf16),
        "bfloat16, compiled": _step(compiled, images, rank, _ours_bf16),
    }
    found = {way: step() for way, step in ways.items()}  # a first time is slower, most of all where it compiles
    seconds = alternate(ways, rounds)
    expected_loss, expected = found["naive"]
    for way in ways:
        if way == "naive":
            continue
        loss, gradient = found[way]
        yield {
            "model": name,
            "ranks": num_ranks,
            "images": batch_size,
            "ours": way,
            "naive, s": seconds["naive"],
            "ours, s": seconds[way],
            "times faster": seconds["naive"] / seconds[way],
            "loss differs by": abs(loss - expected_loss) / abs(expected_loss),
            "gradients differ by": float((gradient - expected).norm() / expected.norm()),
        }


def _ours(model: OrdinalCLIP, images: Tensor) -> Output:
    return model(images=images)


def _ours_bf16(model: OrdinalCLIP, images: Tensor) -> Output:
    with torch.autocast(images.device.type, torch.bfloat16):
        return model(images=images)


def _step(model: OrdinalCLIP, images: Tensor, rank: Tensor, forward: Callable[[OrdinalCLIP, Tensor], Output]) -> Step:
    """A step that returns loss and gradients; the rate is so small that all steps start from the same weights."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer: Optimizer = RAdam(parameters, lr=1e-12)
    loss_of = CrossEntropyKL()

    def run() -> tuple[float, Tensor]:
        optimizer.zero_grad()
        loss = loss_of(forward(model, images), rank)["loss"]
        loss.backward()
        optimizer.step()
        return float(loss.detach()), torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])

    return run
