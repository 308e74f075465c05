"""The launcher and the sweeper as a wheel installs them, far from the checkout."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ordinalclip.runs.run import find_runs
from tests.slurm.conftest import PATIENCE_S, ROOT, SMALL, Cluster, finish, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def test_a_wheel_sweeps_on_the_cluster_and_an_edit_does_not_change_what_waits(cluster: Cluster, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    alone = ["--no-deps", "--no-index"]  # nothing is asked of a network
    subprocess.run(
        [*pip, "wheel", *alone, "--no-build-isolation", "-w", tmp_path, ROOT], check=True, timeout=PATIENCE_S
    )
    (wheel,) = tmp_path.glob("ordinalclip-*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", *alone, "--target", site, wheel], check=True, timeout=PATIENCE_S)
    work = tmp_path / "work"
    work.mkdir()
    # The checkout may be on the path by an editable install, which comes after PYTHONPATH.
    env = cluster.environment | {"PYTHONPATH": str(site)}
    where = "import ordinalclip, launch, hydra_plugins.ordinalclip_slurm as p; "
    where += "print(ordinalclip.__file__, launch.__file__, p.__file__)"
    told = subprocess.run([sys.executable, "-c", where], cwd=work, env=env, capture_output=True, text=True, check=True)
    assert all(Path(file).is_relative_to(site) for file in told.stdout.split())

    words = ["-m", "hydra/launcher=slurm", "cluster=trial", "cluster.gpus=0", *SMALL, "epochs=1", "seed=0,1"]
    words.append("+hydra.launcher.additional_parameters.begin=now+15")
    env |= {"ORDINALCLIP_DATA": str(cluster.folder / "data"), "ORDINALCLIP_CACHE": str(cluster.folder / "cache")}
    command = [sys.executable, "-m", "ordinalclip.train", *words]
    pipe: Any = subprocess.PIPE
    driver = subprocess.Popen(command, cwd=work, env=env, stdout=pipe, stderr=pipe, text=True)
    wait_for(lambda: list((work / "runs" / "slurm").glob("*_1_submitted.pkl")), "the jobs wait in the queue")
    with (site / "ordinalclip" / "execution" / "fit.py").open("a") as file:  # which only jobs import
        file.write("\nraise RuntimeError('edited')\n")
    done = finish(driver)
    assert done.returncode == 0, done.stderr
    runs = find_runs(work / "runs")
    assert [run.state() for run in runs] == ["finished"] * 2
    for run in runs:
        assert run.read_json("provenance.json")["slurm"]["SLURMD_NODENAME"] in ("node1", "node2")
        assert run.read_json("provenance.json")["code"]["git"] is None  # of the wheel, not of the checkout
    # Jobs run the copy that was made at submission.
    (code,) = (work / "runs" / "sweeps" / ".code").iterdir()
    scripts = [path.read_text() for path in (work / "runs" / "slurm").glob("*_submission.sh")]
    assert scripts
    assert all(str(code) in script for script in scripts)
    assert os.listdir(code / "launch" / "hydra_plugins")
