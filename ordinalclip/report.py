"""Tables on the terminal: one run beside the constant predictor, a sweep's mean ± std over seeds."""

import json
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from ordinalclip.prepare import Job
from ordinalclip.runs import Run

# name in test_stats.json, heading, whether larger is better, shown as percent
_ROWS = (
    ("mae", "MAE (ranks, expectation)", False, False),
    ("mae_argmax", "MAE (ranks, argmax)", False, False),
    ("accuracy", "accuracy", True, True),
    ("accuracy_within_1", "within-1 accuracy", True, True),
    ("qwk", "QWK", True, False),
)


def _number(value: float | None, percent: bool) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f} %" if percent else f"{value:.3f}"


def print_run(job: Job, console: Console | None = None) -> None:
    """Prints a finished run's test scores, each beside the constant predictor's, and where its record is."""
    console = console or Console()
    stats = job.run.read_json("test_stats.json") or {}
    ordinality = job.run.read_json("ordinality.json") or {}
    title = f"{job.cfg['dataset']['name']}, test split: {int(stats.get('test/num_images', 0))} images"
    table = Table(title=title, title_justify="left")
    for heading in ("", "this run", "constant predictor"):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for name, heading, _, percent in _ROWS:
        constant = stats.get("test/constant_mae" if name == "mae_argmax" else f"test/constant_{name}")
        table.add_row(heading, _number(stats.get(f"test/{name}"), percent), _number(constant, percent))
    if "best" in ordinality:
        best, before = ordinality["best"], ordinality["before"]
        table.add_section()
        table.add_row(
            "ordinality of the rank features",
            f"{best['score']:.3f}",
            f"{best['score_chance']:.3f} by chance, {before['score']:.3f} before training",
        )
    console.print(table)
    console.print(f"run     {job.run.directory}", soft_wrap=True, highlight=False)


def print_store(cfg: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints the command that opens MLflow on these runs."""
    uri = cfg["tracking"].get("uri")
    if uri is not None:
        console = console or Console()
        store = str(uri).removeprefix("sqlite:///")
        elsewhere = "" if store == "runs/mlflow.db" else f" STORE={store}"
        console.print(f"MLflow  make ui{elsewhere}", soft_wrap=True, highlight=False)


def varied(identities: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys, dotted, in which flat identities differ; the seed is left out."""
    keys = sorted({key for one in identities for key in one})
    return [key for key in keys if key != "seed" and len({json.dumps(one.get(key)) for one in identities}) > 1]


def sweep_rows(jobs: Sequence[Job]) -> list[tuple[str, list[Run]]]:
    """Groups of runs that differ in nothing but the seed, each with what tells it from the others."""
    groups: dict[str, tuple[str, list[Run]]] = {}
    for job in jobs:
        key = json.dumps({k: v for k, v in job.identity.items() if k != "seed"}, sort_keys=True)
        label = " ".join(o for o in job.overrides if not o.startswith("seed=")) or job.cfg["prompt"]["name"]
        groups.setdefault(key, (label, []))[1].append(job.run)
    return list(groups.values())


def print_sweep(jobs: Sequence[Job], console: Console | None = None) -> None:
    """Prints one row a setting: mean ± standard deviation over its seeds, of the runs that are finished."""
    console = console or Console()
    common = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    title = "test scores, mean ± standard deviation over seeds"
    table = Table(title=title, title_justify="left", padding=(0, 0), collapse_padding=True)
    table.add_column("setting", overflow="fold", min_width=12)
    for heading in ("runs", "MAE", "MAE\nargmax", "accuracy\n%", "within 1\n%", "QWK", "ordinality"):
        table.add_column(heading, justify="right", no_wrap=True)
    for label, runs in sweep_rows(jobs):
        done = [run for run in runs if run.state() == "finished"]
        stats = [run.read_json("test_stats.json") or {} for run in done]
        ordered = [(run.read_json("ordinality.json") or {}).get("best", {}).get("score") for run in done]
        shown = " ".join(word for word in label.split(" ") if word not in common) or label
        cells = [
            _spread([s.get(f"test/{name}") for s in stats], 100 if percent else 1) for name, _, _, percent in _ROWS
        ]
        table.add_row(shown, f"{len(done)}/{len(runs)}", *cells, _spread(ordered, 1))
    console.print(table)


def _spread(values: Sequence[float | None], scale: float) -> str:
    numbers = [scale * value for value in values if value is not None]
    if not numbers:
        return "–"
    digits = 1 if scale == 100 else 3
    if len(numbers) == 1:
        return f"{numbers[0]:.{digits}f}"
    return f"{mean(numbers):.{digits}f}±{stdev(numbers):.{digits}f}"
