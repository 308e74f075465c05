"""What an export gives up and gains against the whole model: probabilities, size, latency."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ordinalclip.model import OrdinalCLIP

# Largest difference of a probability on real images that an export may show; int8 is the mean over images.
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2, "int8": 1e-1}


@dataclass(frozen=True)
class Comparison:
    """Of an export with the model that it was made of.

    Attributes:
        num_images: real images that both were asked about.
        largest: difference of a probability.
        mean: over images, of the largest difference of an image's probabilities.
        agreement: share of images whose most probable rank is the same.
        size_mb: of the exported model's file; `full_mb` of the whole model's parameters.
        latency_ms: of one image, median; `full_ms` with the text tower, as in training's evaluation.
    """

    num_images: int
    largest: float
    mean: float
    agreement: float
    size_mb: float
    full_mb: float
    latency_ms: float
    full_ms: float


def compare(
    model: OrdinalCLIP, expected: Tensor, logits: Callable[[Tensor], Tensor], pixels: Tensor, size: int
) -> Comparison:
    """Compares an export with the model that it was made of.

    Args:
        model: the whole one.
        expected: logits [N, R] before the export.
        logits: pixels [B, 3, H, W] → logits [B, R] of the export.
        pixels: images [N, 3, H, W].
        size: of the exported file in bytes.
    """
    one = pixels[:1]
    before, after = expected.double().softmax(-1), logits(pixels).double().softmax(-1)
    by_image = (before - after).abs().amax(1)
    with torch.inference_mode():
        full_ms = _median_ms(lambda: model(images=one))
    return Comparison(
        len(pixels),
        float(by_image.max()),
        float(by_image.mean()),
        float((before.argmax(1) == after.argmax(1)).double().mean()),
        size / 1e6,
        sum(parameter.numel() * parameter.element_size() for parameter in model.parameters()) / 1e6,
        _median_ms(lambda: logits(one)),
        full_ms,
    )


def _median_ms(work: Callable[[], object], repeats: int = 5) -> float:
    work()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return 1000 * sorted(seconds)[repeats // 2]
