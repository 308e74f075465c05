"""The command line in a process of its own, as a user starts it."""

import atexit
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests import warm

SMALL = (
    "backbone=tiny",
    "dataset=gauge",
    "dataset.num_ranks=5",
    "dataset.images_per_rank=12",
    "dataset.size=32",
    "trainer=cpu",
    "tracking=offline",
    "epochs=2",
    "protocol.calibration=0",  # of nine val images there is no half to set aside
    "num_workers=0",
)


def _env(folder: Path) -> dict[str, str]:
    """No network to ask, and no home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORDINALCLIP_", "HYDRA_"))}
    home = folder.parent / "home"  # Matplotlib leaves its list of fonts there
    home.mkdir(exist_ok=True)
    kept.pop("COLUMNS", None)
    return kept | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HOME": str(home), "PYTHONIOENCODING": "utf-8"}


def start(folder: Path, *words: str) -> warm.Process:
    """`python -m ordinalclip.train WORDS` in a folder, with no terminal to write to."""
    return warm.start("ordinalclip.train", *words, folder=folder, env=_env(folder))


def train(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The same, to its end."""
    return warm.run("ordinalclip.train", *words, folder=folder, env=_env(folder))


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Words that train nothing, in a process without torch; the last line on stderr names slow imports it has made."""
    return warm.run("tests.run_cli", *words, folder=folder, env=_env(folder), imports=warm.LIGHT)


def wait_for(what: Callable[[], bool], process: warm.Process) -> None:
    """Until `what` holds; fails where the process ends before."""
    end = time.monotonic() + 600
    while time.monotonic() < end:
        if what():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise TimeoutError


if __name__ == "__main__":
    slow = {"torch", "lightning", "mlflow", "transformers", "open_clip"}
    atexit.register(lambda: print("imported:", *sorted(slow & set(sys.modules)), file=sys.stderr))
    runpy.run_module("ordinalclip.train", run_name="__main__", alter_sys=True)
