"""Benchmark of a step that trains all parts, where the image tower takes most of the time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer, RAdam

from ordinalclip.bench.measure import alternate, matrix_peak, operations
from ordinalclip.bench.naive import BATCH_SIZE, build_model, naive_output
from ordinalclip.bench.results import PEAK, Row, Section
from ordinalclip.losses.ce_kl import CrossEntropyKL
from ordinalclip.model import OrdinalCLIP, Output
from ordinalclip.training.loop import speed_up

PARTS = ("context", "rank", "image", "text", "logit_scale")
TEXT = """One optimiser step (RAdam) of rank prompts, image tower and text tower together, random weights, 32 images of
the tower's size that are decoded already. *Naive* is float32 with rank features computed rank by rank from 77 tokens,
and QuickGELU as open_clip has it. *Ours* in float32 has the same numbers; bfloat16 is autocast, as
`trainer.precision=bf16-mixed`, and *compiled* adds `compile=true`. *Loss* and *gradients differ by* are relative, all
gradients taken as one vector. *Without text* is no way to train but the limit of what is done about text: rank features
are given, and the step is the image tower's and the optimiser's. What is a few per cent apart is so by chance. *Share
of the peak* is the step's operations in products and convolutions a second, relative to the fastest product of two
square matrices in the same precision on this machine ({peaks})."""

Step = Callable[[], tuple[float, Tensor]]
Forward = Callable[[OrdinalCLIP, Tensor], Output]


class Way(NamedTuple):
    """A variant of the step, and the precision of its matrix products."""

    step: Step
    dtype: torch.dtype
    same_model: bool = True  # computes the same as naive, except for rounding


def measure_finetune(*, quick: bool) -> Iterator[Section]:
    """Measures fine-tuning steps; yields the rows so far after each model.

    Args:
        quick: Use a small model, few ranks, and one round.
    """
    cases = (("RN50", 5, 4),) if quick else (("ViT-B-16", 101, BATCH_SIZE), ("ViT-B-16", 5, BATCH_SIZE))
    peaks = {dtype: matrix_peak(dtype) for dtype in (torch.float32, torch.bfloat16)}
    peak_text = ", ".join(f"{str(dtype).removeprefix('torch.')}: {peak / 1e9:.0f} G/s" for dtype, peak in peaks.items())
    rows: list[Row] = []
    for name, num_ranks, batch_size in cases:
        rows += measure_step(name, num_ranks, batch_size, 1 if quick else 3, peaks)
        yield Section("Fine-tuning step", TEXT.format(peaks=peak_text), list(rows))


def measure_step(
    name: str, num_ranks: int, batch_size: int, rounds: int, peaks: dict[torch.dtype, float]
) -> Iterator[Row]:
    """Yields one row per variant of the step.

    Args:
        name: Name of the model.
        num_ranks: R.
        batch_size: B.
        rounds: Timed calls of each variant.
        peaks: Precision → `matrix_peak`.
    """
    with TemporaryDirectory() as folder:
        model = build_model(name, num_ranks, trained=PARTS, cache_dir=Path(folder))
        compiled = build_model(name, num_ranks, trained=PARTS, cache_dir=Path(folder))
    speed_up(compiled.backbone.image, compiled=True)
    torch.manual_seed(0)
    images = torch.randn(batch_size, 3, model.backbone.preprocessing.size, model.backbone.preprocessing.size)
    rank = torch.arange(batch_size) % num_ranks
    with torch.no_grad():
        given_RD = model.rank_features()

    def without_text(model: OrdinalCLIP, images: Tensor) -> Output:
        return model(images=images, rank_features=given_RD)

    step, compiled_step = (_steps(made, images, rank) for made in (model, compiled))
    naive = step(naive_output)
    ways = {
        "float32": Way(step(_ours), torch.float32),
        "float32, without text": Way(step(without_text), torch.float32, same_model=False),
        "bfloat16": Way(step(_in_bf16(_ours)), torch.bfloat16),
        "bfloat16, compiled": Way(compiled_step(_in_bf16(_ours)), torch.bfloat16),
        "bfloat16, without text": Way(step(_in_bf16(without_text)), torch.bfloat16, same_model=False),
    }
    # Warm-up, which compiles.
    expected = naive()
    differences: dict[str, tuple[float, float] | tuple[None, None]] = {}
    for what, way in ways.items():
        found = way.step()
        differences[what] = _differences(found, expected) if way.same_model else (None, None)
    work = {what: operations(way.step) for what, way in ways.items() if "compiled" not in what}
    work["bfloat16, compiled"] = work["bfloat16"]
    seconds = alternate({"naive": naive} | {what: way.step for what, way in ways.items()}, rounds)
    for what, way in ways.items():
        loss, gradient = differences[what]
        yield {
            "model": name,
            "ranks": num_ranks,
            "images": batch_size,
            "ours": what,
            "naive, s": seconds["naive"],
            "ours, s": seconds[what],
            "times faster": seconds["naive"] / seconds[what],
            PEAK: work[what] / seconds[what] / peaks[way.dtype],
            "loss differs by": loss,
            "gradients differ by": gradient,
        }


def _differences(found: tuple[float, Tensor], expected: tuple[float, Tensor]) -> tuple[float, float]:
    """Returns the relative differences of loss and gradient."""
    (loss, gradient), (expected_loss, expected_gradient) = found, expected
    difference = (gradient - expected_gradient).norm() / expected_gradient.norm()
    return abs(loss - expected_loss) / abs(expected_loss), float(difference)


def _ours(model: OrdinalCLIP, images: Tensor) -> Output:
    return model(images=images)


def _in_bf16(forward: Forward) -> Forward:
    def run(model: OrdinalCLIP, images: Tensor) -> Output:
        with torch.autocast(images.device.type, torch.bfloat16):
            return forward(model, images)

    return run


def _steps(model: OrdinalCLIP, images: Tensor, rank: Tensor) -> Callable[[Forward], Step]:
    """Returns a factory of steps that return loss and gradients. The rate is so small that the weights stay the same.

    All steps share one optimizer, because the moments of several would not fit into memory.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer: Optimizer = RAdam(parameters, lr=1e-12)
    loss_of = CrossEntropyKL()

    def step(forward: Forward) -> Step:
        def run() -> tuple[float, Tensor]:
            optimizer.zero_grad()
            loss = loss_of(forward(model, images), rank)["loss"]
            loss.backward()
            optimizer.step()
            return float(loss.detach()), torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])

        return run

    return step
