"""Benchmark of each speed-up of image tower training by itself: autocast, compile, channels-last, fused optimizers."""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from ordinalclip.bench.measure import alternate
from ordinalclip.bench.naive import build_model
from ordinalclip.bench.results import Row, Section
from ordinalclip.training.loop import speed_up

TEXT = """Forward and backward pass of CLIP's image towers with random weights, {batch} images, and a step of torch's
optimisers over the parameters of a ViT-B/16. *Plain* is without the means and otherwise the same. Autocast is the
trainer's (`trainer.precision=bf16-mixed`), channels-last is taken for towers of convolutions, compiling is an option
(`compile=true`), fused optimisers are the yamls' default where torch has them."""


def measure_tower(*, quick: bool) -> Iterator[Section]:
    """Measures each speed-up; yields the rows so far after each model.

    Args:
        quick: Use one small model, few images, and one round.
    """
    models, batch, rounds = (("RN50",), 2, 1) if quick else (("RN50", "ViT-B-16"), 16, 3)
    rows: list[Row] = []
    for name in models:
        rows += measure_means(name, batch, rounds)
        yield Section("Training an image tower", TEXT.format(batch=batch), list(rows))
    rows += measure_optimizers(rounds)
    yield Section("Training an image tower", TEXT.format(batch=batch), list(rows))


def measure_means(name: str, batch: int, rounds: int) -> Iterator[Row]:
    """Yields one row per speed-up.

    Args:
        name: Name of the model.
        batch: Number of images.
        rounds: Timed calls with and without it.
    """
    with TemporaryDirectory() as folder:
        model = build_model(name, 5, trained=("image",), cache_dir=Path(folder))
    plain = model.backbone.image
    side = model.backbone.preprocessing.size
    torch.manual_seed(0)
    images = torch.randn(batch, 3, side, side)
    quick, compiled = copy.deepcopy(plain), copy.deepcopy(plain)
    speed_up(quick, compiled=False)
    speed_up(compiled, compiled=True)
    means = {
        "bfloat16": ((plain, False), (plain, True)),
        "compiled, float32": ((quick, False), (compiled, False)),
        "compiled, bfloat16": ((quick, True), (compiled, True)),
    }
    if isinstance(plain, nn.Module) and sum(isinstance(module, nn.Conv2d) for module in plain.modules()) > 1:
        means |= {
            "channels-last, float32": ((plain, False), (quick, False)),
            "channels-last, bfloat16": ((plain, True), (quick, True)),
        }
    for what, (without, with_) in means.items():
        ways = {"plain": _pass(*without, images), "with": _pass(*with_, images)}
        for run in ways.values():
            run()  # warm-up
        seconds = alternate(ways, rounds)
        yield _row(name, what, seconds)


def measure_optimizers(rounds: int) -> Iterator[Row]:
    """Yields one row per optimizer with a fused kernel in torch."""
    with TemporaryDirectory() as folder:
        model = build_model("ViT-B-16", 5, trained=("image",), cache_dir=Path(folder))
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 1e-3)
    momentum = partial(SGD, momentum=0.9)
    for name, optimizer in (("Adam", Adam), ("AdamW", AdamW), ("SGD with momentum", momentum)):
        ways: dict[str, Optimizer] = {
            way: optimizer(parameters, lr=1e-9, fused=way == "with") for way in ("plain", "with")
        }
        for made in ways.values():
            made.step()
        seconds = alternate({way: made.step for way, made in ways.items()}, rounds)
        yield _row("ViT-B-16", f"{name}, fused", seconds)


def _row(name: str, what: str, seconds: dict[str, float]) -> Row:
    ratio = seconds["plain"] / seconds["with"]
    return {"model": name, "means": what, "plain, s": seconds["plain"], "with, s": seconds["with"], "faster": ratio}


def _pass(tower: nn.Module, bf16: bool, images: Tensor) -> Callable[[], None]:
    parameters = [parameter for parameter in tower.parameters() if parameter.requires_grad]

    def run() -> None:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            features = tower(images)
        torch.autograd.grad(features.float().square().mean(), parameters, allow_unused=True)

    return run
