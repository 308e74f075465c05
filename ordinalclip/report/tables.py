"""Tables on the terminal: a run's scores against the constant predictor, a sweep's mean ± std over seeds and folds."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from ordinalclip.config.identity import REPEAT_KEYS, selection_labels
from ordinalclip.preparation.prepare import Job
from ordinalclip.runs.run import Run

if TYPE_CHECKING:  # every command of training imports this module, few of them print a table
    from rich.console import Console
    from rich.table import Table

_FILE_WIDTH = 160  # columns of tables that are written to a file or a pipe
ON_TEST = "selected on test: the run's epoch was chosen by its test scores, as in some published protocols"


@dataclass(frozen=True)
class Row:
    """A score in the table of a run.

    Attributes:
        name: Name in test_stats.json, after `test/`.
        heading: Heading of the row.
        constant: Name of the constant predictor's score, after `test/constant_`.
        rank: Rank that the constant predictor predicts: `median`, `majority` or `any`.
        percent: Whether it is shown as a percentage.
    """

    name: str
    heading: str
    constant: str
    rank: str
    percent: bool = False


_ROWS = (
    Row("mae", "MAE in ranks, expectation", "mae", "median"),
    Row("mae_argmax", "MAE in ranks, argmax", "mae", "median"),
    Row("accuracy", "accuracy", "accuracy", "majority", percent=True),
    Row("accuracy_within_1", "within-1 accuracy", "accuracy_within_1", "majority", percent=True),
    Row("qwk", "QWK", "qwk", "any"),
)


def print_run(job: Job, console: "Console | None" = None) -> None:
    """Prints a finished run's test scores, with those of the constant predictor, and its directory."""
    stats = job.run.read_json("test_stats.json") or {}
    ordinality = job.run.read_json("ordinality.json") or {}
    names, on_test = job.manifest.rank_names, bool(selection_labels(job.cfg))
    print_scores(job.cfg["dataset"]["name"], "test", stats, ordinality, names, console, on_test=on_test)
    _print(f"run     {job.run.directory}", console)


def print_scores(
    dataset: str,
    split: str,
    stats: Mapping[str, Any],
    ordinality: Mapping[str, Any],
    rank_names: Sequence[str],
    console: "Console | None" = None,
    *,
    on_test: bool = False,
) -> None:
    """Prints the scores of a split as a table, with those of the constant predictor.

    Args:
        dataset: Name of the data set.
        split: Prefix of the names in `stats`.
        stats: Scores from `evaluate_split`, and the number of images.
        ordinality: Content of a run's ordinality.json; may be empty.
        rank_names: Names of the R ranks.
        console: Output console; None for the terminal.
        on_test: Whether the run's epoch was selected on test, which is noted below the table.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("", "this run", "constant predictor", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[1].justify = "right"
    for row in _ROWS:
        constant = _number(stats.get(f"{split}/constant_{row.constant}"), row.percent)
        index = stats.get(f"{split}/constant_{row.rank}_rank")
        which = "" if index is None else f" ({row.rank}: {_short(rank_names[int(index)])})"
        table.add_row(row.heading, _number(stats.get(f"{split}/{row.name}"), row.percent), Text(constant + which))
    if "best" in ordinality:
        best, before = ordinality["best"], ordinality.get("before")  # an imported run has no "before"
        chance = f"{best['score_chance']:.3f} by chance"
        chance += "" if before is None else f", {before['score']:.3f} untrained"
        table.add_row("ordinality of rank features", f"{best['score']:.3f}", chance)
    if f"{split}/coverage_90" in stats:
        width = f"{stats[f'{split}/interval_width_90']:.1f} of {len(rank_names)} ranks wide"
        table.add_row("90 % intervals cover", _number(stats[f"{split}/coverage_90"], True), width)
    kind = "" if split == "all" else f"{split} "
    _print(f"{dataset}: {int(stats.get(f'{split}/num_images', 0))} {kind}images", console)
    _print(table, console)
    if on_test:
        _print(ON_TEST, console)


def print_store(cfg: Mapping[str, Any], console: "Console | None" = None) -> None:
    """Prints the command that opens MLflow on these runs."""
    uri = cfg["tracking"].get("uri")
    if str(uri).startswith("http"):
        _print(f"MLflow  {uri}", console)
    elif uri is not None:
        store = str(uri).removeprefix("sqlite:///")
        _print(f"MLflow  make ui{'' if store == 'runs/mlflow.db' else f' STORE={store}'}", console)


def titles(jobs: Sequence[Job]) -> list[str]:
    """Returns the overrides of each job that are not common to all jobs, or the name of its run if there are none."""
    common = set.intersection(*(set(job.overrides) for job in jobs)) if len(jobs) > 1 else set()
    varied = [" ".join(override for override in job.overrides if override not in common) for job in jobs]
    return [title or job.run.directory.name for title, job in zip(varied, jobs, strict=True)]


def sweep_rows(jobs: Sequence[Job]) -> list[tuple[str, list[Run]]]:
    """Groups runs that differ only in seeds and folds.

    Returns:
        For each group the settings that distinguish it, and its runs.
    """
    groups: dict[str, tuple[str, list[Run]]] = {}
    # The data of each fold or draw have their own hash. If there are several, data are compared by their settings.
    by_hash = len({_data_repeats(job) for job in jobs}) < 2
    for job, title in zip(jobs, titles(jobs), strict=True):
        key = json.dumps(_without_repeats(job, by_hash), sort_keys=True, default=str)
        label = " ".join(word for word in title.split(" ") if word.partition("=")[0] not in REPEAT_KEYS)
        name = "-".join(str(job.cfg[group]["name"]) for group in ("dataset", "backbone", "prompt"))
        groups.setdefault(key, (name if title == job.run.directory.name else label or name, []))[1].append(job.run)
    return list(groups.values())


def _without_repeats(job: Job, by_hash: bool) -> dict[str, Any]:
    """Returns a job's identity without seeds and folds; its data by hash, or by their settings."""
    kept = {key: value for key, value in job.identity.items() if key not in REPEAT_KEYS}
    if not by_hash:
        kept["manifest"] = {key: value for key, value in _data_settings(job).items() if key not in REPEAT_KEYS}
    return kept


def _data_repeats(job: Job) -> tuple[Any, ...]:
    settings = _data_settings(job)
    return tuple(settings.get(key) for key in REPEAT_KEYS)


def _data_settings(job: Job) -> dict[str, Any]:
    nodes = {"dataset": job.cfg["dataset"], "protocol.split": job.cfg["protocol"]["split"], "subset": job.cfg["subset"]}
    return {f"{name}.{key}": value for name, node in nodes.items() for key, value in node.items()}


def _has_folds(job: Job) -> bool:
    return any(node.get("fold") is not None for node in (job.cfg["dataset"], job.cfg["protocol"]["split"]))


def print_sweep(jobs: Sequence[Job], console: "Console | None" = None) -> None:
    """Prints one row per setting: mean ± standard deviation over its finished runs."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    rows = sweep_rows(jobs)
    on_test = {job.run.directory for job in jobs if selection_labels(job.cfg)}
    headings, settings = _columns([label for label, _ in rows])
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for heading in ("runs", "MAE", "accuracy\n%", "within 1\n%", "QWK", "ordinality"):
        table.add_column(heading, justify="right", no_wrap=True)
    shown = [row for row in _ROWS if row.name != "mae_argmax"]  # the table has to fit into 80 columns
    for setting, (_, runs) in zip(settings, rows, strict=True):
        done = [run for run in runs if run.state() == "finished"]
        stats = [run.read_json("test_stats.json") or {} for run in done]
        ordered = [(run.read_json("ordinality.json") or {}).get("best", {}).get("score") for run in done]
        cells = [_spread([s.get(f"test/{row.name}") for s in stats], percent=row.percent) for row in shown]
        number = f"{len(done)}/{len(runs)}{'*' if runs[0].directory in on_test else ''}"
        table.add_row(*map(Text, setting), number, *cells, _spread(ordered, percent=False))
    repeats = "seeds and folds" if any(map(_has_folds, jobs)) else "seeds"
    _print(f"test scores, mean ± standard deviation over {repeats}", console)
    _print(table, console)
    if on_test:
        _print(f"* {ON_TEST}", console)


def _columns(labels: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Returns headings and cells: one column per key if all labels set the same keys, else one column of labels."""
    pairs = [[word.partition("=") for word in label.split(" ")] for label in labels]
    keys = [[key for key, _, _ in label] for label in pairs]
    if all(one == keys[0] for one in keys) and all(equals for label in pairs for _, equals, _ in label):
        return keys[0], [[value for _, _, value in label] for label in pairs]
    return ["setting"], [[label] for label in labels]


def _print(what: "str | Table", console: "Console | None") -> None:
    from rich.console import Console
    from rich.table import Table

    if console is None:
        console = Console()
        if not console.is_terminal and "COLUMNS" not in os.environ:
            console.width = _FILE_WIDTH
    if isinstance(what, Table):
        with console.capture() as captured:
            console.print(what)
        what = "\n".join(line.rstrip() for line in captured.get().strip("\n").splitlines())  # rich pads lines
        console.out(what, highlight=False)
        return
    console.print(what, soft_wrap=True, highlight=False, markup=False)


def _short(name: str) -> str:
    """Truncates a rank's name so that the table fits into 80 columns."""
    return name if len(name) <= 20 else f"{name[:19]}…"


def _number(value: float | None, percent: bool) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if percent else f"{value:.3f}"


def _spread(values: Sequence[float | None], *, percent: bool) -> str:
    numbers = [100 * value if percent else value for value in values if value is not None]
    if not numbers:
        return "–"
    digits = 1 if percent else 3
    if len(numbers) == 1:
        return f"{numbers[0]:.{digits}f}"
    return f"{mean(numbers):.{digits}f}±{stdev(numbers):.{digits}f}"
