"""The command line in a process of its own, as a user starts it. Used by test_cli.py and test_sweeps.py."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
# Tells at its end which slow imports there were.
_DRIVER = """
import atexit, runpy, sys
slow = {"torch", "lightning", "mlflow", "transformers", "open_clip"}
atexit.register(lambda: print("imported:", *sorted(slow & set(sys.modules)), file=sys.stderr))
runpy.run_module("ordinalclip.train", run_name="__main__", alter_sys=True)
"""


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """`python -m ordinalclip.train WORDS` in a folder, with no network to ask and no terminal to write to."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORDINALCLIP_", "HYDRA_"))}
    home = folder.parent / "home"  # Matplotlib leaves its list of fonts there
    env = kept | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HOME": str(home), "PYTHONIOENCODING": "utf-8"}
    home.mkdir(exist_ok=True)
    env.pop("COLUMNS", None)
    command = [sys.executable, "-c", _DRIVER, *words]
    pipe: Any = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=env, stdout=pipe, stderr=pipe, text=True, encoding="utf-8")


def train(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The same, to its end."""
    with start(folder, *words) as process:
        out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until `what` holds; fails where the process ends before."""
    end = time.monotonic() + 600
    while time.monotonic() < end:
        if what():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise TimeoutError
