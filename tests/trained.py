"""A small run, trained in a folder of its own."""

from pathlib import Path

from ordinalclip.execution.job import run_job
from ordinalclip.preparation.prepare import prepare
from ordinalclip.runs.run import Run
from tests.conftest import SMALL, composed_with


def train(folder: Path, *words: str, in_sweep: bool = True) -> Run:
    folders = {name: folder / name for name in ("runs", "data", "cache")}
    job = prepare(composed_with(folders, *SMALL, "epochs=1", *words))
    run_job(job, in_sweep=in_sweep)
    return job.run
