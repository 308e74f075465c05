"""The check of an export: the same real images through the export and the whole model. N images, R ranks.

Compared are probabilities, file size and latency. The images are of the run's own data.
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

# Share of an image's probability that may have moved to other ranks: the largest of the images; int8: in the mean.
TOLERANCE = {"fp32": 1e-3, "fp16": 5e-2, "int8": 1e-1}  # mini on ELPV: 2e-6, 1.5e-2 and 5e-2


def recorded_images(run: Run) -> pd.DataFrame:
    """`path` and `split` of a run's images; no rows where its record has none, as that of an imported run."""
    file = run.directory / "manifest.parquet"
    if not file.is_file():
        return pd.DataFrame({"path": [], "split": []}, dtype="str")
    return pd.read_parquet(file, columns=["path", "split"]).astype("str")


def sample_pixels(run: Run, preprocessing: Preprocessing, split: str, num_images: int) -> Tensor:
    """Preprocessed images [N, 3, H, W] of a split, spread over it; fewer, or none, where files are gone.

    Args:
        run: whose record names the images.
        preprocessing: of its model.
        split: of the record.
        num_images: N at most.
    """
    table = recorded_images(run)
    root = Path((run.read_json("provenance.json") or {}).get("root", "."))
    paths = table.loc[table["split"] == split, "path"]
    step = max(1, len(paths) // num_images)
    pixels = []
    for path in paths.iloc[::step].iloc[:num_images]:
        try:
            pixels.append(preprocessing.to_tensor(read_rgb(root / path)))
        except DataError:  # moved since; others are looked at
            continue
    return torch.stack(pixels) if pixels else torch.empty(0, 3, preprocessing.size, preprocessing.size)


@dataclass(frozen=True)
class Comparison:
    """Of an export with the model that it was made of.

    Attributes:
        num_images: real images that both were asked about.
        largest: of the images' moved shares, see `moved_share`; nan where an answer is not a number.
        mean: of them.
        shift: by how much an image's expectation differs, in ranks, in the mean over images.
        agreement: share of images whose most probable rank is the same.
        size_mb: of the exported model's file; `full_mb` of the whole model's parameters.
        latency_ms: of a batch of one image on the CPU, median of five; `full_ms` of the whole model, its prompts run
            through the text tower for this one image. An evaluation runs them once for all of its images.
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
        """Why an export of this precision is not the model any more; empty where it is."""
        moved, told = (self.mean, "in the mean") if precision == "int8" else (self.largest, "at most")
        if not math.isfinite(moved):
            return f"on {self.num_images} images it answers with numbers that are not finite"
        if moved <= TOLERANCE[precision]:
            return ""
        return (
            f"on {self.num_images} images {moved:.2g} of the probability lies on other ranks than the model's {told}, "
            f"more than {TOLERANCE[precision]:g}; expectations are off by {self.shift:.2g} ranks in the mean"
        )


def moved_share(before_NR: Tensor, after_NR: Tensor) -> Tensor:
    """Share of each image's probability that lies on other ranks than before [N]: total variation, 0…1.

    However many ranks there are, 1 means that no probability is where it was. The largest difference of a single
    probability does not: among 101 ranks it stays below 0.06 for distributions that are 40 ranks apart.
    """
    return (before_NR - after_NR).abs().sum(-1) / 2


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
