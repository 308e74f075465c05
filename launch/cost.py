"""What runs cost in hours: measured where a like run has finished, else an estimate from the numbers of cost.yaml.

An estimate adds up: the images of all epochs through the image tower (once, where it is frozen and its features are
kept), those that an epoch is chosen on, those of the test; a step of text for every step; what else a step takes.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from launch.likeness import FinishedRuns
from ordinalclip.derived import uses_features
from ordinalclip.prepare import Job

_FILE = Path(__file__).with_name("cost.yaml")
_TOKENS_OF_A_RANK, _TOKENS_BEFORE = 3, 12  # of a sentence: SOT and context are run once for all ranks


@dataclass(frozen=True)
class Cost:
    """Of one run.

    Attributes:
        gpu_s: estimated seconds on a GPU; None where nothing is known of its tower or data.
        cpu_s: estimated seconds on two CPU cores.
        measured_s: mean seconds of finished runs like it, here.
        measured_runs: how many those are.
    """

    gpu_s: float | None = None
    cpu_s: float | None = None
    measured_s: float | None = None
    measured_runs: int = 0


@dataclass(frozen=True)
class Images:
    """How many images a run goes through: to train on, to choose an epoch on, to test."""

    train: int
    select: int
    test: int


def cost_of(cfg: Mapping[str, Any], job: Job | None, finished: FinishedRuns) -> Cost:
    """What a run takes.

    Args:
        cfg: its configuration.
        job: where its data are here.
        finished: the runs that have been done.
    """
    like = None if job is None else finished.seconds_like(job.identity)
    measured, number = (None, 0) if like is None else like
    images = _images(cfg, job)
    if images is None:
        return Cost(None, None, measured, number)
    return Cost(_seconds(cfg, images, "gpu"), _seconds(cfg, images, "cpu"), measured, number)


def total_hours(seconds: Iterable[float | None]) -> float | None:
    """Hours of all together; None where one of them is not known."""
    known = list(seconds)
    return None if any(one is None for one in known) else sum(one for one in known if one is not None) / 3600


@cache
def numbers() -> dict[str, Any]:
    """The content of cost.yaml."""
    content: dict[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return content


def _images(cfg: Mapping[str, Any], job: Job | None) -> Images | None:
    on_test = cfg["protocol"]["select_on"] == "test"
    if job is not None:
        count = job.manifest.table["split"].value_counts()
        test = int(count.get("test", 0))
        return Images(int(count.get("train", 0)), test if on_test else int(count.get("val", 0)), test)
    known = numbers()["datasets"].get(cfg["dataset"]["name"])
    if known is None:
        return None
    train, shots = known["train"], cfg["subset"]["shots"]
    if shots is not None:
        train = min(train, shots * _num_ranks(cfg))
    return Images(train, known["select"], known["test"])


def _num_ranks(cfg: Mapping[str, Any]) -> int:
    dataset = cfg["dataset"]
    return int(dataset.get("num_ranks") or len(dataset.get("rank_names") or ()) or 10)


def _seconds(cfg: Mapping[str, Any], images: Images, where: str) -> float | None:
    tower = _tower(cfg["backbone"])
    if tower not in numbers()[where]["towers"]:
        return None
    trains_image = cfg["trainable"]["image"] is not None
    learns = trains_image or cfg["prompt"]["name"] != "fixed"
    epochs = cfg["epochs"] if learns else 0
    steps = epochs * math.ceil(images.train / cfg["batch_size"])
    evaluated = epochs * images.select + images.test
    if uses_features(cfg):  # each image once; the tower is not run again
        evaluated = images.train + images.select + images.test
    trained = epochs * images.train if trains_image else 0
    if not uses_features(cfg) and not trains_image:  # augmented views of a frozen tower
        evaluated += epochs * images.train
    rates = numbers()[where]
    train_s, eval_s = _rates_of_tower(rates, tower)
    if trained and train_s is None:
        return None
    text = 0.0 if cfg["prompt"]["name"] == "linear" else _text_step(rates, _num_ranks(cfg))
    return float(rates["start"] + trained * (train_s or 0) + evaluated * eval_s + steps * (text + rates["step"]))


def _rates_of_tower(rates: Mapping[str, Any], tower: str) -> tuple[float | None, float]:
    """Seconds an image, trained (None where that was not measured) and evaluated."""
    of_tower = rates["towers"][tower]
    if "tflops" in rates:
        forward = of_tower / 1000 / rates["tflops"]
        return 3 * forward, forward
    return of_tower["train"], of_tower["eval"]


def _text_step(rates: Mapping[str, Any], num_ranks: int) -> float:
    text = rates["text"]
    if "tflops" in rates:  # forward, and backward to the prompts through frozen weights
        tokens = _TOKENS_BEFORE + _TOKENS_OF_A_RANK * num_ranks
        return float(2 * text * tokens / 1000 / rates["tflops"])
    return float(text["base"] + text["rank"] * num_ranks)


def _tower(backbone: Mapping[str, Any]) -> str:
    return str(backbone.get("image_model") or backbone.get("model") or backbone["name"])
