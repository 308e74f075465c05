"""Benchmark of an evaluation pass: rank features once or per batch, cached features or images."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from ordinalclip.bench.measure import alternate
from ordinalclip.bench.naive import BATCH_SIZE, build_model, naive_output
from ordinalclip.bench.results import Row, Section
from ordinalclip.evaluation.evaluation import predict
from ordinalclip.model import OrdinalCLIP
from ordinalclip.training.batches import Batch, FeatureRows, evaluation_loader

TEXT = """Probabilities of {images} images that are decoded already, random weights, float32. *Naive* takes batches of
32 and computes rank features for each, rank by rank from 77 tokens. *Ours* computes them once: with a trained image
tower that runs on the images, and with a frozen one on cached features. *Without text* is the limit of the former: rank
features are given, and the image tower is all that is left. *Differs by* is of the probabilities, the largest
difference of all."""


def measure_evaluation(*, quick: bool) -> Iterator[Section]:
    """Measures evaluation passes; yields the rows so far after each number of ranks.

    Args:
        quick: Use a small model, few ranks, and one round.
    """
    name, ranks, rounds, num_images = ("RN50", (5,), 1, 8) if quick else ("ViT-B-16", (5, 101), 3, 3 * BATCH_SIZE)
    rows: list[Row] = []
    for num_ranks in ranks:
        rows += measure_pass(name, num_ranks, num_images, rounds)
        yield Section("Evaluation pass", TEXT.format(images=num_images), list(rows))


def measure_pass(name: str, num_ranks: int, num_images: int, rounds: int) -> Iterator[Row]:
    """Yields rows for images, for images with given rank features, and for cached features.

    Args:
        name: Name of the model.
        num_ranks: R.
        num_images: Number of images in the pass.
        rounds: Timed calls of each way.
    """
    with TemporaryDirectory() as folder:
        model = build_model(name, num_ranks, trained=("context", "rank"), cache_dir=Path(folder))
    torch.manual_seed(0)
    side = model.backbone.preprocessing.size
    rank, row = torch.zeros(num_images, dtype=torch.long), torch.arange(num_images)
    images = torch.randn(num_images, 3, side, side)
    split = zip(rank.split(BATCH_SIZE), row.split(BATCH_SIZE), images.split(BATCH_SIZE), strict=True)
    batches = [Batch(ranks, rows, images=pixels) for ranks, rows, pixels in split]
    with torch.inference_mode():
        features = torch.cat([model.backbone.image(batch) for batch in images.split(BATCH_SIZE)]).numpy()
    cached = FeatureRows(features, np.arange(num_images), np.zeros(num_images, dtype=np.int64))
    with torch.inference_mode():
        given_RD = model.rank_features()
    probs: dict[str, Tensor] = {}

    def naive() -> None:
        probs["naive"] = _naive(model, images)

    def on_images() -> None:
        probs["images"] = predict(model, batches, torch.device("cpu"))[0]

    def without_text() -> None:
        probs["images, without text"] = _given(model, images, given_RD)

    def on_features() -> None:
        loader = evaluation_loader(cached, None, 0)
        probs["cached features"] = predict(model, loader, torch.device("cpu"))[0]

    on_features()  # warm-up
    ways = {"images": on_images, "images, without text": without_text, "cached features": on_features}
    seconds = alternate({"naive": naive} | ways, rounds)
    for way in ways:
        yield {
            "model": name,
            "ranks": num_ranks,
            "ours runs on": way,
            "naive, s": seconds["naive"],
            "ours, s": seconds[way],
            "times faster": seconds["naive"] / seconds[way],
            "differs by": float((probs[way] - probs["naive"]).abs().max()),
        }


@torch.inference_mode()
def _naive(model: OrdinalCLIP, images: Tensor) -> Tensor:
    return torch.cat([naive_output(model.eval(), batch).logits.softmax(-1) for batch in images.split(BATCH_SIZE)])


@torch.inference_mode()
def _given(model: OrdinalCLIP, images: Tensor, rank_features: Tensor) -> Tensor:
    outputs = [model.eval()(images=batch, rank_features=rank_features) for batch in images.split(BATCH_SIZE)]
    return torch.cat([output.logits.softmax(-1) for output in outputs])
