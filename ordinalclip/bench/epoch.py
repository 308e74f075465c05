"""Benchmark of an epoch that trains prompts only: cached features against decoding and encoding images."""

import copy
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor
from torch.optim import RAdam

from ordinalclip.bench.measure import alternate
from ordinalclip.bench.naive import BATCH_SIZE, build_model, naive_epoch, write_images
from ordinalclip.bench.results import Row, Section
from ordinalclip.images.decoding import open_rgb
from ordinalclip.losses.ce_kl import CrossEntropyKL
from ordinalclip.metrics.collection import RankMetrics
from ordinalclip.model import OrdinalCLIP
from ordinalclip.optimizers.parameter_groups import build_scheduler
from ordinalclip.optimizers.schedules import Constant
from ordinalclip.training.batches import EpochSampler, FeatureRows, evaluation_loader, training_loader
from ordinalclip.training.loop import build_trainer
from ordinalclip.training.module import OrdinalModule

PARTS = ("context", "rank")
LEARNING_RATE = 1e-3
TEXT = """An epoch of rank prompts on a frozen {model} with random weights, batches of 32, float32: {train} training
images of 300 × 300 pixels, then {val} validation images. *Naive* decodes every image and runs the image tower whenever
it is needed, and computes rank features for every batch, of validation too, rank by rank from 77 tokens. *Ours* is what
`ordinalclip.train` runs: cached features, rank features once a step and once a validation, and all that Lightning, the
optimiser and the metrics take. Features are computed before, once for all runs: that is one naive pass over the images
without text, timed once and given as *features once*. *Differs by* is the difference of the validation's logits after
the epoch, relative to their norm."""


def measure_epoch(*, quick: bool) -> Iterator[Section]:
    """Measures epochs; yields the rows so far after each number of ranks.

    Args:
        quick: Use a small model, few ranks, and one round.
    """
    model, ranks, rounds = ("RN50", (5,), 1) if quick else ("ViT-B-16", (5, 101), 3)
    num_train, num_val = (BATCH_SIZE, BATCH_SIZE) if quick else (3 * BATCH_SIZE, BATCH_SIZE)
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        paths = write_images(Path(folder), num_train + num_val, side=300, kind="png")
        for num_ranks in ranks:
            rows.append({"model": model, **measure_ranks(model, num_ranks, paths, num_train, rounds)})
            yield Section("Prompt-only epoch", TEXT.format(model=model, train=num_train, val=num_val), list(rows))


def measure_ranks(name: str, num_ranks: int, paths: list[Path], num_train: int, rounds: int) -> Row:
    """Returns one row.

    Args:
        name: Name of the model.
        num_ranks: R.
        paths: Image files, those of the training split first.
        num_train: Number of training images.
        rounds: Timed calls of each way.
    """
    model = build_model(name, num_ranks, trained=PARTS, cache_dir=paths[0].parent / "cache")
    start = copy.deepcopy(model.state_dict())
    rank = torch.arange(len(paths)) % num_ranks
    features: list[np.ndarray] = []
    once = alternate({"features": lambda: features.append(_features(model, paths))}, 1)["features"]
    logits: dict[str, Tensor] = {}

    def naive() -> None:
        model.load_state_dict(start)
        logits["naive"] = _naive(model, paths, rank, num_train)

    def ours() -> None:
        model.load_state_dict(start)
        _ours(model, features[0], rank, num_train)

    def validate() -> None:
        with torch.inference_mode():
            logits["ours"] = model.eval()(features=torch.from_numpy(features[0][num_train:])).logits
        model.train()

    ours()  # warm-up
    validate()
    seconds = alternate({"naive": naive, "ours": ours}, rounds)
    difference = (logits["ours"] - logits["naive"]).norm() / logits["naive"].norm()
    return {
        "ranks": num_ranks,
        "naive, s": seconds["naive"],
        "features once, s": once,
        "ours, s": seconds["ours"],
        "times faster": seconds["naive"] / seconds["ours"],
        "differs by": float(difference),
    }


def _features(model: OrdinalCLIP, paths: list[Path]) -> np.ndarray:
    with torch.inference_mode():
        images = torch.stack([model.backbone.preprocessing.to_tensor(open_rgb(path)) for path in paths])
        return torch.cat([model.backbone.image(batch) for batch in images.split(BATCH_SIZE)]).numpy()


def _optimizer(model: OrdinalCLIP) -> RAdam:
    return RAdam([parameter for parameter in model.parameters() if parameter.requires_grad], lr=LEARNING_RATE)


def _naive(model: OrdinalCLIP, paths: list[Path], rank: Tensor, num_train: int) -> Tensor:
    order = [[position for _, position in batch] for batch in EpochSampler(num_train, BATCH_SIZE, seed=0)]
    train = [([paths[position] for position in batch], rank[batch]) for batch in order]
    rest = range(num_train, len(paths), BATCH_SIZE)
    val = [(paths[first : first + BATCH_SIZE], rank[first : first + BATCH_SIZE]) for first in rest]
    return naive_epoch(model, CrossEntropyKL(), _optimizer(model), train, val)


def _ours(model: OrdinalCLIP, features: np.ndarray, rank: Tensor, num_train: int) -> None:
    def rows(of: np.ndarray) -> FeatureRows:
        return FeatureRows(features, of, rank.numpy()[of])

    sampler = EpochSampler(num_train, BATCH_SIZE, seed=0)
    num_ranks = int(model.rank_features().shape[0])
    module = OrdinalModule(
        model,
        loss=CrossEntropyKL(),
        build_optimizer=lambda: _optimizer(model),
        build_scheduler=lambda optimizer: build_scheduler(optimizer, Constant(), 1),
        metrics=RankMetrics(num_ranks, list(range(num_ranks))),
        sampler=sampler,
        seed=0,
    )
    with TemporaryDirectory() as folder:
        trainer = build_trainer(accelerator="cpu", run_directory=Path(folder), max_epochs=1, callbacks=[])
        trainer.fit(
            module,
            training_loader(rows(np.arange(num_train)), sampler, 0),
            evaluation_loader(rows(np.arange(num_train, len(features))), None, 0),
        )
