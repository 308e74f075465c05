"""Comparison of an export with the whole model on images of the run's data: probabilities, size, latency.

Shape suffixes: N images, R ranks.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from ordinalclip.errors import DataError
from ordinalclip.images.decoding import read_rgb
from ordinalclip.images.preprocessing import Preprocessing
from ordinalclip.model import OrdinalCLIP
from ordinalclip.runs.run import Run

# Allowed `moved_share`: the maximum over images, or the mean for int8. Measured with mini on ELPV: 2e-6, 1.5e-2, 5e-2.
TOLERANCE = {"fp32": 1e-3, "fp16": 5e-2, "int8": 1e-1}


def recorded_images(run: Run) -> pd.DataFrame:
    """Returns `path` and `split` of a run's images; no rows if the run has no manifest, as an imported run may."""
    file = run.directory / "manifest.parquet"
    if not file.is_file():
        return pd.DataFrame({"path": [], "split": []}, dtype="str")
    return pd.read_parquet(file, columns=["path", "split"]).astype("str")


def sample_pixels(run: Run, preprocessing: Preprocessing, split: str, num_images: int) -> Tensor:
    """Returns preprocessed images [N, 3, H, W], evenly spaced over a split. Unreadable files are skipped.

    Args:
        run: Run whose manifest lists the images.
        preprocessing: Preprocessing of its model.
        split: Name of the split.
        num_images: Maximum N.
    """
    table = recorded_images(run)
    root = Path((run.read_json("provenance.json") or {}).get("root", "."))
    paths = table.loc[table["split"] == split, "path"]
    step = max(1, len(paths) // num_images)
    pixels = []
    for path in paths.iloc[::step].iloc[:num_images]:
        try:
            pixels.append(preprocessing.to_tensor(read_rgb(root / path)))
        except DataError:  # moved or deleted since training
            continue
    return torch.stack(pixels) if pixels else torch.empty(0, 3, preprocessing.size, preprocessing.size)


@dataclass(frozen=True)
class Comparison:
    """An export compared with the whole model.

    Attributes:
        num_images: Number of compared images.
        largest: Maximum of `moved_share` over images; nan if an output is not finite.
        mean: Mean of `moved_share` over images.
        shift: Mean absolute difference of expectations, in ranks.
        agreement: Share of images with the same most probable rank.
        size_mb: Size of the exported model file.
        full_mb: Size of the whole model's parameters.
        latency_ms: Time of one image on the CPU, median of five.
        full_ms: The same of the whole model with its text tower, which an evaluation runs once for all images.
    """

    num_images: int
    largest: float
    mean: float
    shift: float
    agreement: float
    size_mb: float
    full_mb: float
    latency_ms: float
    full_ms: float

    def problem(self, precision: str) -> str:
        """Returns why the export is rejected at this precision; empty if it is within the tolerance."""
        moved, statistic = (self.mean, "on average") if precision == "int8" else (self.largest, "at most")
        if not math.isfinite(moved):
            return f"its outputs for {self.num_images} images are not finite"
        if moved <= TOLERANCE[precision]:
            return ""
        return (
            f"on {self.num_images} images {moved:.2g} of the probability lies on other ranks than the model's "
            f"{statistic}, more than {TOLERANCE[precision]:g}; expectations differ by {self.shift:.2g} ranks on average"
        )


def moved_share(before_NR: Tensor, after_NR: Tensor) -> Tensor:
    """Returns the total variation distance of each image's two distributions [N], in 0…1.

    The scale does not depend on the number of ranks. The largest difference of a single probability does: with 101
    ranks it stays below 0.06 for distributions that are 40 ranks apart.
    """
    return (before_NR - after_NR).abs().sum(-1) / 2


def compare(
    model: OrdinalCLIP, expected: Tensor, logits: Callable[[Tensor], Tensor], pixels: Tensor, size: int
) -> Comparison:
    """Compares an export with the whole model.

    Args:
        model: The whole model.
        expected: Its logits [N, R].
        logits: The export as a function from pixels [B, 3, H, W] to logits [B, R].
        pixels: Preprocessed images [N, 3, H, W].
        size: Size of the exported file in bytes.
    """
    one = pixels[:1]
    before, after = expected.double().softmax(-1), logits(pixels).double().softmax(-1)
    by_image = moved_share(before, after)
    ranks = torch.arange(before.shape[1], dtype=before.dtype)
    with torch.inference_mode():
        full_ms = _median_ms(lambda: model(images=one))
    return Comparison(
        len(pixels),
        float(by_image.max()),
        float(by_image.mean()),
        float(((after - before) @ ranks).abs().mean()),
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
