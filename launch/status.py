"""`python -m launch.status`: how the runs of a sweep, or all of them, stand."""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence

from launch.chosen import Chosen, choose
from launch.standing import STATES, Standing, standings
from ordinalclip.cli.command import run_command
from ordinalclip.system.terminal import in_columns

_EVERY_S = 5.0
_USAGE = """\
OrdinalCLIP shows how runs stand: what their directories say, and SLURM where they are its jobs.

  python -m launch.status [sweep=NAME | run=RUN] [--watch] [paths.runs=FOLDER]

  sweep     as it was named when it was started; without it, all runs
  run       a run's directory, its name below paths.runs, or its id
  --watch   again every 5 seconds, until nothing is queued or running

A run is new, queued, running, finished, interrupted (the same command goes on from its last epoch) or failed. What
ended it is told: timeout, preempted, node failure, out of memory, full disk, cancelled, killed, or bug with the last
line of its traceback.

Examples
  python -m launch.status sweep=first
  python -m launch.status sweep=first --watch"""


def main() -> None:
    """Entry point; without words it shows all runs."""
    run_command(run, _USAGE, needs_words=False)


def run(words: Sequence[str]) -> None:
    """Prints the table, once or until nothing is left to wait for."""
    chosen = choose([word for word in words if word != "--watch"], all_by_default=True, more=("--watch",))
    if "--watch" not in words:
        print(table(chosen, standings(chosen.runs, chosen.root)))
        return
    try:
        while True:
            stands = standings(chosen.runs, chosen.root)
            print(f"\x1b[H\x1b[J{table(chosen, stands)}" if sys.stdout.isatty() else table(chosen, stands), flush=True)
            if not any(one.state in ("queued", "running") for one in stands):
                return
            time.sleep(_EVERY_S)
    except KeyboardInterrupt:  # the usual end of watching
        print()


def table(chosen: Chosen, stands: Sequence[Standing]) -> str:
    """One row a run, and how many there are of each state."""
    if not stands:
        return f"there are no runs in {chosen.root} yet"
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    varied = _varied(chosen)
    heading = ("run", "settings", "state", ">epoch", ">val/mae", "node", ">time", ">attempts", "")
    rows = [(*_cells(one, varied.get(one.run.directory.name, "")), one.error) for one in stands]
    counts = Counter(one.state for one in stands)
    said = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    return f"{in_columns(heading, rows, width)}\n{len(stands)} run{'s' if len(stands) != 1 else ''}: {said}"


def _cells(one: Standing, varied: str) -> tuple[str, ...]:
    return (
        one.run.directory.name,
        varied,
        one.state + (f": {one.why}" if one.why else ""),
        "" if one.epochs is None else f"{one.epoch}/{one.epochs}",
        "" if one.score is None else f"{one.score:.3f}",
        one.node if one.state != "queued" else "",
        "" if one.seconds is None else _time(one.seconds),
        str(one.attempts) if one.attempts else "",
    )


def _varied(chosen: Chosen) -> dict[str, str]:
    """What tells a sweep's runs from each other, as it was typed."""
    if len(chosen.overrides) < 2:
        return {}
    common = set.intersection(*map(set, chosen.overrides.values()))
    return {name: " ".join(word for word in words if word not in common) for name, words in chosen.overrides.items()}


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


if __name__ == "__main__":
    main()
