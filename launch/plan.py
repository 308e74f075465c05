"""`python -m launch.plan …`: what a command would run, why, and what that costs; nothing is run or fetched."""

import os
from collections import Counter
from collections.abc import Sequence

from launch.composition import read_sweep
from launch.cost import cost_table
from launch.outlook import Planned, outlook
from ordinalclip.cli.command import run_command
from ordinalclip.system.terminal import in_columns

_USAGE = """\
OrdinalCLIP says what a run, or with -m a sweep, would do: it composes and checks every job, and runs none.

  python -m launch.plan [-m] [GROUP=OPTION …] [KEY=VALUE …]

Each run is new, interrupted (it would go on from its last epoch), failed (it would be tried again), finished,
running, queued, or lacks data or weights on this machine. Then what is to do is added up in hours: measured, where a
like run has finished, or estimated.

Examples
  python -m launch.plan -m prompt=rank,context seed=0,1,2
  python -m launch.plan sweep=few_shot experiment=few_shot
  python -m launch.plan -m 'experiment=glob(*)'     # what the published tables cost"""
_DOES = {
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


def run(words: Sequence[str]) -> list[Planned]:
    """Prints the plan.

    Raises:
        ConfigError: for the first setting that cannot be used on any machine.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # what is not here is said not to be here
    typed = read_sweep(words, "python -m launch.plan")
    planned = outlook(typed)
    print(_table(planned))
    same = len(typed.product) - len(planned)
    words_ = Counter("lacks something" if one.standing is None else one.standing.state for one in planned)
    said = ", ".join(f"{count} {word}" for word, count in words_.items())
    also = f" ({len(typed.product)} jobs, of which {same} describe a run of another)" if same else ""
    print(f"{len(planned)} run{'s' if len(planned) != 1 else ''}{also}: {said}")
    for lack in dict.fromkeys(lack for one in planned for lack in one.lacks):
        print(f"not here  {lack}")
    print(cost_table(planned, typed))
    return planned


def _table(planned: Sequence[Planned]) -> str:
    common = set.intersection(*(set(one.overrides) for one in planned)) if len(planned) > 1 else set()
    rows = []
    for one in planned:
        title = " ".join(word for word in one.overrides if word not in common)
        name = one.job.run.directory.name if one.job is not None else ""
        does, why = _does(one)
        rows.append((title or name, does, why, name if title else ""))
    return in_columns(("settings", "", "why", "run"), rows)


def _does(one: Planned) -> tuple[str, str]:
    if one.standing is None:
        kinds = [lack.partition(":")[0] for lack in one.lacks]
        names = {"data": one.cfg["dataset"]["name"], "weights": one.cfg["backbone"]["name"]}
        return "cannot start here", f"no {' and no '.join(f'{kind} of {names[kind]}' for kind in kinds)}"
    stands = one.standing
    epochs = f" after epoch {stands.epoch} of {stands.epochs}" if stands.epochs else ""
    details = {
        "interrupted": f"interrupted{epochs}{f': {stands.why}' if stands.why else ''}",
        "failed": f"failed{epochs}: {stands.error or stands.why}",
        "running": f"running on {stands.node}{epochs}",
        "queued": f"queued: {stands.why}",
        "new": f"new{f': {stands.why}' if stands.why else ''}",
    }
    return _DOES[stands.state], details.get(stands.state, stands.state)


if __name__ == "__main__":
    main()
