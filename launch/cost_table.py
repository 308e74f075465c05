"""What a plan costs, as a table: by experiment as it was typed, and the published tables of these experiments whole."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.published import read_published
from launch.columns import in_columns
from launch.compose import Composer
from launch.cost import Cost, cost_of, numbers, total_hours
from launch.likeness import FinishedRuns
from launch.outlook import Planned, outlook
from launch.typed import Typed, read_sweep

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
