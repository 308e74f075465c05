"""Benchmark of MLflow tracking: its share of a training epoch, and the copy of many runs into a new store."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from ordinalclip.bench.results import Row, Section
from ordinalclip.config.compose import compose_config
from ordinalclip.execution.job import run_job
from ordinalclip.preparation.prepare import prepare
from ordinalclip.runs.run import Run
from ordinalclip.tracking import MLflowMirror

TEXT = """Runs on scikit-learn's digits with the backbone `mini` and cached features, whose epochs are the shortest that
there are, mirrored into SQLite every {every:g} s as `tracking=local` does. *Training waits* is what the training thread
spends on handing epochs to the mirror; *copies take* is the processor time of the mirror's own thread while it trains.
Both are shares of all epochs' time. Below, runs of so many epochs, {names} values each, are copied into a new store by
`python -m analysis.sync`, from the command to its end; a run has 20 epochs by default, and nearly all of the time is
MLflow's own work on each value. There is no naive mode: the goals are 1 % and 120 s."""
EVERY_S = 20.0
NAMES = 21  # values per epoch, as in a real run
COPIED_EPOCHS = (20, 50)  # epochs of the copied runs; 20 is the default


class TimedMirror(MLflowMirror):
    """A mirror that measures the time of its own work until the run has ended.

    Attributes:
        waited_s: seconds of the training thread.
        copying_s: processor seconds of the mirror's thread.
    """

    waited_s = copying_s = 0.0
    _ended = False

    def sync(self, run: Run, *, final: bool) -> None:
        """Requests a copy of the run."""
        self._ended = final
        started = time.perf_counter()
        super().sync(run, final=final)
        if not final:
            self.waited_s += time.perf_counter() - started

    def _copy(self, run: Run, waited_for: bool) -> None:
        started = time.thread_time()
        super()._copy(run, waited_for)
        if not self._ended:
            self.copying_s += time.thread_time() - started


def measure_tracking(*, quick: bool) -> Iterator[Section]:
    """Measures tracking; yields one section.

    Args:
        quick: Use few epochs and few runs.
    """
    epochs, number = (20, 10) if quick else (400, 1000)
    with TemporaryDirectory() as folder:
        rows = [_epochs(Path(folder) / "share", epochs)]
        rows += [_copies(Path(folder) / f"copied_{each}", number, each) for each in COPIED_EPOCHS]
    yield Section("Tracking", TEXT.format(every=EVERY_S, names=NAMES), rows)


def _epochs(folder: Path, epochs: int) -> Row:
    words = ["dataset=digits", f"epochs={epochs}", "trainer=cpu", "num_workers=0"]
    words += [f"paths.{key}={folder / key}" for key in ("runs", "data", "cache")]
    warm_up = prepare(compose_config([*words, "epochs=1", "tracking=offline"]))  # computes the features
    run_job(warm_up, in_sweep=True)
    mirror = TimedMirror(uri=f"sqlite:///{folder / 'mlflow.db'}", experiment="bench", every_s=EVERY_S)
    mirror.prepare()
    job = prepare(compose_config(words))
    run_job(job, in_sweep=True, mirror=mirror)
    times = [line["time_ms"] / 1000 for line in job.run.metrics()][:epochs]
    epoch = median(later - earlier for earlier, later in pairwise(times))
    return _row(
        what=f"a run of {epochs} epochs",
        epoch=epoch,
        waits=100 * mirror.waited_s / (epochs * epoch),
        copies=100 * mirror.copying_s / (epochs * epoch),
    )


def _copies(folder: Path, number: int, epochs: int) -> Row:
    for index in range(number):
        _make(folder, index, epochs)
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "analysis.sync", f"runs={folder}"], check=True, capture_output=True)
    return _row(what=f"{number} runs of {epochs} epochs copied", seconds=time.perf_counter() - started)


def _row(what: str, **found: float) -> Row:
    columns = {"epoch": "an epoch, s", "waits": "training waits, %", "copies": "copies take, %", "seconds": "seconds"}
    return {"what": what} | {title: found.get(key) for key, title in columns.items()}


def _make(folder: Path, index: int, epochs: int) -> None:
    """Writes the record of a run that was not trained."""
    run = Run(folder / f"made-{index:010d}")
    run.directory.mkdir(parents=True)
    status = {"status": "finished", "created": "2026-01-01T00:00:00+0000", "updated": "2026-01-01T00:10:00+0000"}
    files: dict[str, Any] = {
        "status.json": status,
        "identity.json": {"seed": index},
        "test_stats.json": {"test/mae": 1},
    }
    for name, content in files.items():
        (run.directory / name).write_text(json.dumps(content), encoding="utf-8")
    values = {f"val/value{number}": number / 7 for number in range(NAMES)}
    with (run.directory / "metrics.jsonl").open("w", encoding="utf-8") as file:
        for epoch in range(epochs):
            line = {"time_ms": 1_000 * (epoch + 1), "epoch": epoch, "step": epoch, "values": values}
            file.write(json.dumps({**line, "values": {name: value + epoch for name, value in values.items()}}) + "\n")
