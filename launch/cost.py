"""What finished runs took: the measured seconds of those that differ from a job in seed and rates at most."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from launch.composition import Composer, Typed, read_sweep
from launch.outlook import Planned, outlook
from ordinalclip.config.identity import uses_features
from ordinalclip.preparation.prepare import Job
from ordinalclip.report.published import read_published
from ordinalclip.runs.run import find_runs
from ordinalclip.system.terminal import in_columns

_NOT_TIME = ("seed", "optimizer", "schedule", "label_draw", "protocol")


class FinishedRuns:
    """The finished runs of a folder by what decides how long they took.

    Args:
        root: the folder of the runs.
    """

    def __init__(self, root: Path) -> None:
        seconds: dict[str, list[float]] = defaultdict(list)
        for run in find_runs(root):
            status = run.status()
            # Of a run that was interrupted only the last attempt's time is known.
            if status.get("status") == "finished" and status.get("attempt") == 1 and "seconds" in status:
                seconds[_likeness(run.read_json("identity.json") or {})].append(float(status["seconds"]))
        self._seconds = dict(seconds)

    def seconds_like(self, identity: Mapping[str, Any]) -> tuple[float, int] | None:
        """Mean seconds of the runs like it, and how many there are; None where there is none."""
        found = self._seconds.get(_likeness(identity))
        return None if not found else (mean(found), len(found))


def _likeness(identity: Mapping[str, Any]) -> str:
    kept = {key: value for key, value in identity.items() if key not in _NOT_TIME}
    kept["trainable"] = sorted(
        identity.get("trainable", {})
    )  # which parts learn, not how fast; null ones are not in it
    return json.dumps(kept, sort_keys=True)


# MERGED: """What runs cost in hours: measured where a like run has finished, else an estimate from the numbers of cost.yaml.
#
# An estimate adds up: the images of all epochs through the image tower (once, where it is frozen and its features are
# kept), those that an epoch is chosen on, those of the test; a step of text for every step; what else a step takes.
# """


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


# MERGED: """What a plan costs, as a table: by experiment as it was typed, and the published tables of these experiments whole."""


_HEADING = ("", ">runs", ">measured", ">GPU hours", ">CPU hours", "")


def cost_table(planned: Sequence[Planned], typed: Typed) -> str:
    """The text; "" where there is nothing to do.

    Args:
        planned: the jobs.
        typed: what was typed; where several experiments are, their published tables are added up, too.
    """
    finished = FinishedRuns(Path(planned[0].cfg["paths"]["runs"]))
    to_do: dict[str, dict[str, Cost]] = defaultdict(dict)
    for one in planned:
        if one.standing is None or one.standing.state in ("new", "interrupted", "failed"):
            to_do[_experiment(one.overrides)][_key(one)] = cost_of(one.cfg, one.job, finished)
    tables: dict[str, Mapping[str, Mapping[str, Cost]]] = {"Cost of what is to do": to_do}
    experiments = list(dict.fromkeys(_experiment(overrides) for overrides in typed.product))
    if len(experiments) > 1:
        paths = [word for word in typed.overrides if word.startswith("paths.")]
        whole = {name: _published(name, paths, finished, typed.compose) for name in experiments}
        heading = "Cost of the published tables of these experiments, all methods and settings (analysis/published.csv)"
        tables[heading] = {name: costs for name, costs in whole.items() if costs}
    lines = [line for heading, groups in tables.items() if groups for line in ("", heading, _table(groups))]
    every = [cost for groups in tables.values() for costs in groups.values() for cost in costs.values()]
    if any(cost.gpu_s is not None for cost in every):
        lines += [
            "",
            "Hours are estimates by the numbers and sources of launch/cost.yaml; only `measured` is of finished runs.",
            f"GPU: {numbers()['gpu']['machine']}",
            f"CPU: {numbers()['cpu']['machine']}",
        ]
    return "\n".join(lines)


def _published(experiment: str, paths: Sequence[str], finished: FinishedRuns, compose: Composer) -> dict[str, Cost]:
    """Of each distinct run behind the rows of an experiment."""
    commands = dict.fromkeys(score.command for score in read_published() if _is_of(score.command, experiment))
    runs: dict[str, Cost] = {}
    for command in commands:
        for one in outlook(read_sweep([*command.split(), *paths], "python -m launch.plan", compose=compose)):
            if _key(one) not in runs:
                runs[_key(one)] = cost_of(one.cfg, one.job, finished)
    return runs


def _key(one: Planned) -> str:
    """What tells a run from others, whether or not its data are here."""
    if one.job is not None:
        return one.job.run.run_id
    return repr(sorted((key, value) for key, value in one.cfg.items() if key not in ("sweep_name", "tags", "tracking")))


def _is_of(command: str, experiment: str) -> bool:
    return experiment in command.split()


def _experiment(overrides: Sequence[str]) -> str:
    named = [word for word in overrides if word.startswith("experiment=")]
    return named[-1] if named else "all"


def _table(groups: Mapping[str, Mapping[str, Cost]]) -> str:
    rows = [_row(name, list(costs.values())) for name, costs in groups.items()]
    if len(groups) > 1:  # a run that stands in two of them is counted once
        together = {key: cost for costs in groups.values() for key, cost in costs.items()}
        rows.append(_row("all, each run once", list(together.values())))
    return in_columns(_HEADING, rows)


def _row(name: str, costs: Sequence[Cost]) -> tuple[str, ...]:
    measured = [cost for cost in costs if cost.measured_s is not None]
    seconds = sorted({round(cost.measured_s) for cost in measured if cost.measured_s is not None})
    a_run = (
        "" if not seconds else f"{seconds[0]} s a run" if len(seconds) == 1 else f"{seconds[0]}–{seconds[-1]} s a run"
    )
    note = ""
    if measured:
        hours = total_hours(cost.measured_s for cost in measured)
        note = f"{len(measured)} as measured here: {_hours(hours)} h"
    unknown = sum(cost.gpu_s is None and cost.measured_s is None for cost in costs)
    if unknown:
        note = "; ".join(filter(None, [note, f"{unknown} without an estimate"]))
    known = [cost for cost in costs if cost.gpu_s is not None]
    gpu = total_hours(cost.gpu_s for cost in known) if known else None
    cpu = total_hours(cost.cpu_s for cost in known) if known else None
    return (name, str(len(costs)), a_run, _hours(gpu), _hours(cpu), note)


def _hours(hours: float | None) -> str:
    return (
        "" if hours is None else f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}" if hours < 10 else f"{hours:.0f}"
    )
