"""Cost of runs in hours: measured if a similar run has finished, else estimated from the rates in cost.yaml.

An estimate adds up the start, the training images, the evaluated images (all images once if the tower is frozen and its
features are cached) and, for each step, the text tower and the optimizer. Runs are similar if they differ at most in
seed, learning rates, schedule, label draw and protocol.
"""

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

from launch.composition import Composer, SweepRequest, read_sweep
from launch.planned_runs import PlannedRun, plan_runs
from ordinalclip.config.identity import uses_features
from ordinalclip.preparation.prepare import Job
from ordinalclip.report.published import read_published
from ordinalclip.runs.run import find_runs
from ordinalclip.system.terminal import format_columns

_RATES_FILE = Path(__file__).with_name("cost.yaml")
_KEYS_WITHOUT_COST = ("seed", "optimizer", "schedule", "label_draw", "protocol")
_TOKENS_PER_RANK, _SHARED_TOKENS = 3, 12  # of a sentence; SOT and context are computed once for all ranks
_HEADING = ("", ">runs", ">measured", ">GPU hours", ">CPU hours", "")


@dataclass(frozen=True)
class Cost:
    """The cost of one run.

    Attributes:
        gpu_s: estimated seconds on a GPU; None if there are no rates for its tower or data.
        cpu_s: estimated seconds on two CPU cores.
        measured_s: mean seconds of similar finished runs; None if there are none.
        measured_runs: number of these runs.
    """

    gpu_s: float | None = None
    cpu_s: float | None = None
    measured_s: float | None = None
    measured_runs: int = 0


class FinishedRuns:
    """Durations of the finished runs in a folder.

    Args:
        root: the folder of the runs.
    """

    def __init__(self, root: Path) -> None:
        seconds: dict[str, list[float]] = defaultdict(list)
        for run in find_runs(root):
            status = run.status()
            # `seconds` is the duration of the last attempt.
            if status.get("status") == "finished" and status.get("attempt") == 1 and "seconds" in status:
                seconds[_similarity_key(run.read_json("identity.json") or {})].append(float(status["seconds"]))
        self._seconds = dict(seconds)

    def seconds_like(self, identity: Mapping[str, Any]) -> tuple[float, int] | None:
        """Returns the mean seconds and the number of similar runs; None if there are none."""
        found = self._seconds.get(_similarity_key(identity))
        return None if not found else (mean(found), len(found))


def _similarity_key(identity: Mapping[str, Any]) -> str:
    kept = {key: value for key, value in identity.items() if key not in _KEYS_WITHOUT_COST}
    kept["trainable"] = sorted(identity.get("trainable", {}))  # which parts are trained; frozen ones are not in it
    return json.dumps(kept, sort_keys=True)


@dataclass(frozen=True)
class _NumImages:
    """Number of images for training, for the selection of an epoch, and for the test."""

    train: int
    select: int
    test: int


def cost_of(cfg: Mapping[str, Any], job: Job | None, finished: FinishedRuns) -> Cost:
    """Returns the cost of a run.

    Args:
        cfg: its configuration.
        job: the prepared job; None if its data are not on this machine.
        finished: finished runs.
    """
    similar = None if job is None else finished.seconds_like(job.identity)
    measured, number = (None, 0) if similar is None else similar
    images = _num_images(cfg, job)
    if images is None:
        return Cost(None, None, measured, number)
    return Cost(_estimate(cfg, images, "gpu"), _estimate(cfg, images, "cpu"), measured, number)


def total_hours(seconds: Iterable[float | None]) -> float | None:
    """Returns the sum in hours; None if any value is None."""
    known = list(seconds)
    return None if any(one is None for one in known) else sum(one for one in known if one is not None) / 3600


@cache
def cost_rates() -> dict[str, Any]:
    """The content of cost.yaml."""
    content: dict[str, Any] = yaml.safe_load(_RATES_FILE.read_text(encoding="utf-8"))
    return content


def _num_images(cfg: Mapping[str, Any], job: Job | None) -> _NumImages | None:
    on_test = cfg["protocol"]["select_on"] == "test"
    if job is not None:
        count = job.manifest.table["split"].value_counts()
        test = int(count.get("test", 0))
        return _NumImages(int(count.get("train", 0)), test if on_test else int(count.get("val", 0)), test)
    known = cost_rates()["datasets"].get(cfg["dataset"]["name"])
    if known is None:
        return None
    train, shots = known["train"], cfg["subset"]["shots"]
    if shots is not None:
        train = min(train, shots * _num_ranks(cfg))
    return _NumImages(train, known["select"], known["test"])


def _num_ranks(cfg: Mapping[str, Any]) -> int:
    dataset = cfg["dataset"]
    return int(dataset.get("num_ranks") or len(dataset.get("rank_names") or ()) or 10)


def _estimate(cfg: Mapping[str, Any], images: _NumImages, device: str) -> float | None:
    """Estimated seconds on `gpu` or `cpu`; None if there are no rates for the tower."""
    rates, backbone = cost_rates()[device], cfg["backbone"]
    tower = str(backbone.get("image_model") or backbone.get("model") or backbone["name"])
    if tower not in rates["towers"]:
        return None
    trains_image = cfg["trainable"]["image"] is not None
    learns = trains_image or cfg["prompt"]["name"] != "fixed"
    epochs = cfg["epochs"] if learns else 0
    steps = epochs * math.ceil(images.train / cfg["batch_size"])
    evaluated = epochs * images.select + images.test
    if uses_features(cfg):  # features of each image are computed once
        evaluated = images.train + images.select + images.test
    trained = epochs * images.train if trains_image else 0
    if not uses_features(cfg) and not trains_image:  # augmented views of a frozen tower
        evaluated += epochs * images.train
    train_s, eval_s = _seconds_per_image(rates, tower)
    if trained and train_s is None:
        return None
    text = 0.0 if cfg["prompt"]["name"] == "linear" else _text_seconds_per_step(rates, _num_ranks(cfg))
    return float(rates["start"] + trained * (train_s or 0) + evaluated * eval_s + steps * (text + rates["step"]))


def _seconds_per_image(rates: Mapping[str, Any], tower: str) -> tuple[float | None, float]:
    """Seconds per image in training (None if not measured) and in evaluation."""
    of_tower = rates["towers"][tower]
    if "tflops" in rates:
        forward = of_tower / 1000 / rates["tflops"]
        return 3 * forward, forward
    return of_tower["train"], of_tower["eval"]


def _text_seconds_per_step(rates: Mapping[str, Any], num_ranks: int) -> float:
    text = rates["text"]
    if "tflops" in rates:  # forward, and backward to the prompts through frozen weights
        tokens = _SHARED_TOKENS + _TOKENS_PER_RANK * num_ranks
        return float(2 * text * tokens / 1000 / rates["tflops"])
    return float(text["base"] + text["rank"] * num_ranks)


def cost_table(planned: Sequence[PlannedRun], request: SweepRequest) -> str:
    """Returns the cost of the runs to do as a table, by experiment; "" if there is nothing to do.

    Args:
        planned: the runs.
        request: the command; if it names several experiments, their published tables are added up as well.
    """
    finished = FinishedRuns(Path(planned[0].cfg["paths"]["runs"]))
    to_do: dict[str, dict[str, Cost]] = defaultdict(dict)
    for one in planned:
        if one.state is None or one.state.state in ("new", "interrupted", "failed"):
            to_do[_experiment(one.overrides)][_run_key(one)] = cost_of(one.cfg, one.job, finished)
    tables: dict[str, Mapping[str, Mapping[str, Cost]]] = {"Cost of what is to do": to_do}
    experiments = list(dict.fromkeys(_experiment(overrides) for overrides in request.product))
    if len(experiments) > 1:
        paths = [word for word in request.overrides if word.startswith("paths.")]
        whole = {name: _published_costs(name, paths, finished, request.compose) for name in experiments}
        heading = "Cost of the published tables of these experiments, all methods and settings (analysis/published.csv)"
        tables[heading] = {name: costs for name, costs in whole.items() if costs}
    lines = [line for heading, groups in tables.items() if groups for line in ("", heading, _table(groups))]
    every = [cost for groups in tables.values() for costs in groups.values() for cost in costs.values()]
    if any(cost.gpu_s is not None for cost in every):
        lines += [
            "",
            "Hours are estimates by the numbers and sources of launch/cost.yaml; only `measured` is of finished runs.",
            f"GPU: {cost_rates()['gpu']['machine']}",
            f"CPU: {cost_rates()['cpu']['machine']}",
        ]
    return "\n".join(lines)


def _published_costs(
    experiment: str, paths: Sequence[str], finished: FinishedRuns, compose: Composer
) -> dict[str, Cost]:
    """Costs of the distinct runs behind an experiment's rows of published.csv."""
    commands = dict.fromkeys(score.command for score in read_published() if experiment in score.command.split())
    runs: dict[str, Cost] = {}
    for command in commands:
        for one in plan_runs(read_sweep([*command.split(), *paths], "python -m launch.plan", compose=compose)):
            if _run_key(one) not in runs:
                runs[_run_key(one)] = cost_of(one.cfg, one.job, finished)
    return runs


def _run_key(one: PlannedRun) -> str:
    """A key of the run, also if its id is not known because its data are missing."""
    if one.job is not None:
        return one.job.run.run_id
    return repr(sorted((key, value) for key, value in one.cfg.items() if key not in ("sweep_name", "tags", "tracking")))


def _experiment(overrides: Sequence[str]) -> str:
    named = [word for word in overrides if word.startswith("experiment=")]
    return named[-1] if named else "all"


def _table(groups: Mapping[str, Mapping[str, Cost]]) -> str:
    rows = [_row(name, list(costs.values())) for name, costs in groups.items()]
    if len(groups) > 1:  # a run of two groups is counted once
        together = {key: cost for costs in groups.values() for key, cost in costs.items()}
        rows.append(_row("all, each run once", list(together.values())))
    return format_columns(_HEADING, rows)


def _row(name: str, costs: Sequence[Cost]) -> tuple[str, ...]:
    measured = [cost.measured_s for cost in costs if cost.measured_s is not None]
    seconds = sorted({round(one) for one in measured})
    per_run = f"{'–'.join(map(str, dict.fromkeys((seconds[0], seconds[-1]))))} s a run" if seconds else ""
    notes = []
    if measured:
        notes.append(f"{len(measured)} as measured here: {_hours(total_hours(measured))} h")
    unknown = sum(cost.gpu_s is None and cost.measured_s is None for cost in costs)
    if unknown:
        notes.append(f"{unknown} without an estimate")
    known = [cost for cost in costs if cost.gpu_s is not None]
    gpu = total_hours(cost.gpu_s for cost in known) if known else None
    cpu = total_hours(cost.cpu_s for cost in known) if known else None
    return (name, str(len(costs)), per_run, _hours(gpu), _hours(cpu), "; ".join(notes))


def _hours(hours: float | None) -> str:
    if hours is None:
        return ""
    return f"{hours:.2g}" if hours < 10 else f"{hours:,.0f}"
