"""Benchmark of nine prompt-only runs as one sweep, against nine commands."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from ordinalclip.bench.results import Row, Section

PROMPTS = ("rank", "context", "linear")
SEEDS = (0, 1, 2)
EPOCHS = 4
TEXT = """Nine runs, three prompts times three seeds, of {epochs} epochs on scikit-learn's digits with the backbone
`mini`, from the first word typed to the last table, recorded in MLflow. *Sweep* is one command with `-m`: one process
that shares towers, features and the data set. *Nine commands* are typed one after the other on features that are in the
cache; *naive* besides extracts the features anew for each (taken from the first command's time, said to be
extrapolated). Each is a process of its own, and all are run once, one after the other. *Beyond training* is what one
more run of the sweep costs on top of its epochs: an eighth of the difference between the sweep and a sweep of one run,
less what the epochs of the eight took by their records."""


def measure_sweep(*, quick: bool) -> Iterator[Section]:
    """Measures a sweep; yields one section.

    Args:
        quick: Use one seed.
    """
    seeds = SEEDS[:1] if quick else SEEDS
    with TemporaryDirectory() as folder:
        work = Path(folder)
        first = _timed(["seed=100"], work)
        again = _timed(["seed=101"], work)
        single = [_timed([f"prompt={p}", f"seed={s}", "paths.runs=single"], work) for p in PROMPTS for s in seeds]
        together = ["-m", f"prompt={','.join(PROMPTS)}", f"seed={','.join(map(str, seeds))}", "paths.runs=sweep"]
        sweep = _timed(together, work)
        one = _timed(["-m", f"prompt={PROMPTS[0]}", f"seed={seeds[0]}", "paths.runs=one"], work)
        training, training_of_one = (
            sum(_training(file) for file in work.glob(f"{runs}/*/metrics.jsonl")) for runs in ("sweep", "one")
        )
    num = len(single)
    naive = sum(single) + num * (first - again)
    row: Row = {
        "runs": num,
        "naive, s (extrapolated)": naive,
        "nine commands, s": sum(single),
        "sweep, s": sweep,
        "times faster than naive": naive / sweep,
        "than the commands": sum(single) / sweep,
        "training of a run, s": training / num,
        "beyond training, s a run": (sweep - one - (training - training_of_one)) / (num - 1),
    }
    yield Section("Nine prompt-only runs", TEXT.format(epochs=EPOCHS), [row])


def _timed(arguments: Sequence[str], work: Path) -> float:
    command = [sys.executable, "-m", "ordinalclip.train", "dataset=digits", f"epochs={EPOCHS}", *arguments]
    started = time.perf_counter()
    subprocess.run(command, cwd=work, capture_output=True, check=True)
    return time.perf_counter() - started


def _training(metrics: Path) -> float:
    """Returns the seconds of a run's epochs; the first one is assumed to take the median time of the others."""
    times = [json.loads(line)["time_ms"] / 1000 for line in metrics.read_text(encoding="utf-8").splitlines()[:EPOCHS]]
    return len(times) * median(later - earlier for earlier, later in pairwise(times))
