"""A SLURM cluster of the session's own; what is run on it is run as a user would, from the command line."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT

SMALL = (
    "backbone=tiny",
    "dataset=gauge",
    "dataset.num_ranks=5",
    "dataset.images_per_rank=20",
    "dataset.size=32",
    "trainer=cpu",
    "num_workers=0",
    "batch_size=16",
)
PATIENCE_S = 600.0  # with anything: other machines are slower, and shared


@dataclass
class Cluster:
    """A cluster that runs, and a folder to work in.

    Attributes:
        state: where the cluster's own files lie.
        folder: the drivers' current folder; data and caches are shared below it.
    """

    state: Path
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def call(self, *command: str) -> str:
        """What one of SLURM's commands prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def start(self, *words: str, runs: str = "runs", **environment: str) -> subprocess.Popen[str]:
        """Starts `python -m ordinalclip.train WORDS`."""
        command = [sys.executable, "-m", "ordinalclip.train", *SMALL, f"paths.runs={runs}", *words]
        pipe: Any = subprocess.PIPE
        env = self.environment | environment
        return subprocess.Popen(command, cwd=self.folder, env=env, stdout=pipe, stderr=pipe, text=True)

    def sweep(self, *words: str, runs: str = "runs", **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a sweep on the cluster to its end."""
        return finish(self.start("-m", "hydra/launcher=slurm", "cluster=trial", *words, runs=runs, **environment))

    def command(self, module: str, *words: str, runs: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`python -m launch.MODULE WORDS`, in a session of its own that ends with it, as a closed terminal's does."""
        line = [sys.executable, "-m", f"launch.{module}", *words, f"paths.runs={runs}"]
        options: dict[str, Any] = {"capture_output": True, "text": True, "start_new_session": True}
        env = self.environment | environment
        done = subprocess.run(line, cwd=self.folder, env=env, timeout=PATIENCE_S, **options)
        assert done.returncode == 0, done.stderr
        return done

    def accounts(self, *columns: str) -> list[list[str]]:
        """Rows of sacct about all jobs so far, each attempt of a job one."""
        out = self.call("sacct", "-X", "-n", "-P", "-D", "-S", "2020-01-01", "-o", ",".join(("JobID", *columns)))
        return [line.split("|") for line in out.splitlines()]


def finish(driver: subprocess.Popen[str], seconds: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
    """A driver's end; one that does not come is a failure, with what it said."""
    try:
        out, err = driver.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        driver.kill()
        pytest.fail(f"the driver hangs: {driver.communicate()}")
    return subprocess.CompletedProcess(driver.args, driver.returncode, out, err)


def wait_for(what: Callable[[], Any], why: str, seconds: float = PATIENCE_S) -> Any:
    """What `what` gives, as soon as that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    pytest.fail(f"waited {seconds:.0f} s for nothing: {why}")


def is_required() -> bool:
    return "slurm" in os.environ.get("ORDINALCLIP_REQUIRE", "").split(",")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    state = tmp_path_factory.mktemp("slurm")
    line = ["bash", ROOT / "launch" / "slurm" / "start.sh", state]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_S)
        if done.returncode != 0:
            message = f"there is no SLURM cluster to test on: {done.stderr.strip()[-500:]}"
            if is_required():
                pytest.fail(message)
            pytest.skip(message)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ORDINALCLIP_", "HYDRA_", "SLURM", "SBATCH"))}
        path = [str(ROOT), str(ROOT / "launch"), *filter(None, [os.environ.get("PYTHONPATH")])]
        kept |= {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        kept["PATH"] += f"{os.pathsep}/usr/sbin{os.pathsep}/sbin"  # where the daemons are
        kept |= {"SLURM_CONF": str(state / "slurm.conf"), "ORDINALCLIP_CACHE": "cache", "ORDINALCLIP_DATA": "data"}
        yield Cluster(state, tmp_path_factory.mktemp("work"), kept)
    finally:
        subprocess.run(["bash", ROOT / "launch" / "slurm" / "stop.sh", state], timeout=PATIENCE_S, check=True)


def local(cluster: Cluster, words: Sequence[str], runs: str) -> None:
    """The same, one run after another in one process on this machine."""
    done = finish(cluster.start(*words, "tracking=offline", runs=runs))
    assert done.returncode == 0, done.stderr
