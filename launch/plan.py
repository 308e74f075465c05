"""`python -m launch.plan …`: lists the runs that a command would start, why, and their cost, without starting any."""

import os
from collections import Counter
from collections.abc import Sequence

from launch.composition import read_sweep
from launch.cost import cost_table
from launch.planned_runs import PlannedRun, plan_runs
from ordinalclip.cli.command import run_command
from ordinalclip.system.terminal import format_columns

_USAGE = """\
OrdinalCLIP lists what a run, or with -m a sweep, would do: every job is composed and checked, none is run.

  python -m launch.plan [-m] [GROUP=OPTION …] [KEY=VALUE …]

Each run is new, interrupted (it would resume from its last epoch), failed (it would be tried again), finished,
running, queued, or lacks data or weights on this machine. The cost of the runs to do is given in hours: measured if a
similar run has finished, else estimated.

Examples
  python -m launch.plan -m prompt=rank,context seed=0,1,2
  python -m launch.plan sweep=few_shot experiment=few_shot
  python -m launch.plan -m 'experiment=glob(*)'     # what the published tables cost"""
_ACTIONS = {
    "new": "would start",
    "interrupted": "would go on",
    "failed": "would be tried again",
    "finished": "is done",
    "running": "is at work",
    "queued": "waits",
}


def main() -> None:
    """Entry point; without words it plans the default run."""
    run_command(run, _USAGE, needs_words=False)


def run(words: Sequence[str]) -> list[PlannedRun]:
    """Prints the plan.

    Raises:
        ConfigError: for the first setting that is invalid on every machine.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # missing weights are reported, not fetched
    request = read_sweep(words, "python -m launch.plan")
    planned = plan_runs(request)
    print(_table(planned))
    same = len(request.product) - len(planned)
    counts = Counter("lacks something" if one.state is None else one.state.state for one in planned)
    summary = ", ".join(f"{count} {word}" for word, count in counts.items())
    also = f" ({len(request.product)} jobs, of which {same} describe a run of another)" if same else ""
    print(f"{len(planned)} run{'s' if len(planned) != 1 else ''}{also}: {summary}")
    for lack in dict.fromkeys(lack for one in planned for lack in one.lacks):
        print(f"not here  {lack}")
    print(cost_table(planned, request))
    return planned


def _table(planned: Sequence[PlannedRun]) -> str:
    common = set.intersection(*(set(one.overrides) for one in planned)) if len(planned) > 1 else set()
    rows = []
    for one in planned:
        title = " ".join(word for word in one.overrides if word not in common)
        name = one.job.run.directory.name if one.job is not None else ""
        action, why = _action(one)
        rows.append((title or name, action, why, name if title else ""))
    return format_columns(("settings", "", "why", "run"), rows)


def _action(one: PlannedRun) -> tuple[str, str]:
    """What the command would do with a run, and why."""
    if one.state is None:
        kinds = [lack.partition(":")[0] for lack in one.lacks]
        names = {"data": one.cfg["dataset"]["name"], "weights": one.cfg["backbone"]["name"]}
        return "cannot start here", f"no {' and no '.join(f'{kind} of {names[kind]}' for kind in kinds)}"
    state = one.state
    epochs = f" after epoch {state.epoch} of {state.epochs}" if state.epochs else ""
    details = {
        "interrupted": f"interrupted{epochs}{f': {state.reason}' if state.reason else ''}",
        "failed": f"failed{epochs}: {state.error or state.reason}",
        "running": f"running on {state.node}{epochs}",
        "queued": f"queued: {state.reason}",
        "new": f"new{f': {state.reason}' if state.reason else ''}",
    }
    return _ACTIONS[state.state], details.get(state.state, state.state)


if __name__ == "__main__":
    main()
