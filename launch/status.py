"""`python -m launch.status`: shows the states of a sweep's runs, or of all runs."""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence

from launch.run_states import STATES, RunState, read_run_states
from launch.selection import Selection, select_runs
from ordinalclip.cli.command import run_command
from ordinalclip.system.terminal import format_columns

_REFRESH_S = 5.0
_USAGE = """\
OrdinalCLIP shows the states of runs, as recorded in their directories and, for jobs, by SLURM.

  python -m launch.status [sweep=NAME | run=RUN] [--watch] [paths.runs=FOLDER]

  sweep     as it was named when it was started; without it, all runs
  run       a run's directory, its name below paths.runs, or its id
  --watch   again every 5 seconds, until nothing is queued or running

A run is new, queued, running, finished, interrupted (the same command resumes from its last epoch) or failed. The
reason is shown: timeout, preempted, node failure, out of memory, full disk, cancelled, killed, or bug with the last
line of the traceback.

Examples
  python -m launch.status sweep=first
  python -m launch.status sweep=first --watch"""


def main() -> None:
    """Entry point."""
    run_command(run, _USAGE, needs_words=False)


def run(words: Sequence[str]) -> None:
    """Prints the table, once or, with --watch, until no run is queued or running."""
    selection = select_runs([word for word in words if word != "--watch"], all_by_default=True, more=("--watch",))
    if "--watch" not in words:
        print(table(selection, read_run_states(selection.runs, selection.root)))
        return
    try:
        while True:
            states = read_run_states(selection.runs, selection.root)
            text = table(selection, states)
            print(f"\x1b[H\x1b[J{text}" if sys.stdout.isatty() else text, flush=True)
            if not any(one.state in ("queued", "running") for one in states):
                return
            time.sleep(_REFRESH_S)
    except KeyboardInterrupt:  # the usual end of --watch
        print()


def table(selection: Selection, states: Sequence[RunState]) -> str:
    """Returns a table with one row per run, and the number of runs in each state."""
    if not states:
        return f"there are no runs in {selection.root} yet"
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    varied = _varied_overrides(selection)
    heading = ("run", "settings", "state", ">epoch", ">val/mae", "node", ">time", ">attempts", "")
    rows = [(*_cells(one, varied.get(one.run.directory.name, "")), one.error) for one in states]
    counts = Counter(one.state for one in states)
    summary = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    return f"{format_columns(heading, rows, width)}\n{len(states)} run{'s' if len(states) != 1 else ''}: {summary}"


def _cells(one: RunState, varied: str) -> tuple[str, ...]:
    return (
        one.run.directory.name,
        varied,
        one.state + (f": {one.reason}" if one.reason else ""),
        "" if one.epochs is None else f"{one.epoch}/{one.epochs}",
        "" if one.score is None else f"{one.score:.3f}",
        one.node if one.state != "queued" else "",
        "" if one.seconds is None else _time(one.seconds),
        str(one.attempts) if one.attempts else "",
    )


def _varied_overrides(selection: Selection) -> dict[str, str]:
    """The overrides that not all runs of a sweep have in common."""
    if len(selection.overrides) < 2:
        return {}
    common = set.intersection(*map(set, selection.overrides.values()))
    return {name: " ".join(word for word in words if word not in common) for name, words in selection.overrides.items()}


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


if __name__ == "__main__":
    main()
