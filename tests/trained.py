"""A small run, trained in a folder of its own."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from ordinalclip.conf_dir import conf_dir
from ordinalclip.config import plain
from ordinalclip.job import run_job
from ordinalclip.prepare import prepare
from ordinalclip.runs import Run
from tests.conftest import SMALL


def train(folder: Path, *words: str, in_sweep: bool = True) -> Run:
    paths = [f"paths.{name}={folder / name}" for name in ("runs", "data", "cache")]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        job = prepare(plain(compose("train", [*SMALL, *paths, "epochs=1", *words])))
    run_job(job, in_sweep=in_sweep)
    return job.run
