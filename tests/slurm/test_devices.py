"""One run on several devices: one task of SLURM's, which starts the processes beside it."""

import subprocess
import sys

import pytest

from ordinalclip.runs.run import find_runs
from tests.close_runs import assert_close
from tests.slurm.conftest import PATIENCE_S, SMALL, Cluster, finish, local

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

DDP = ("trainer=ddp", "trainer.accelerator=cpu")


def test_a_run_on_two_devices_is_one_job_and_ends_as_on_one(cluster: Cluster) -> None:
    words = ("epochs=3", "loss=ce_kl", "batch_size=14")
    local(cluster, words, "on_one")
    done = cluster.sweep(*words, *DDP, "cluster.gpus=2", "cluster.cpus=2", runs="on_two")
    assert done.returncode == 0, done.stderr
    assert "queued: 1 job as" in done.stderr
    (one,), (two,) = (find_runs(cluster.folder / runs) for runs in ("on_one", "on_two"))
    assert one.state() == two.state() == "finished"
    assert_close(one, two)
    slurm = two.read_json("provenance.json")["slurm"]
    assert (slurm["SLURM_GPUS_ON_NODE"], slurm["CUDA_VISIBLE_DEVICES"]) == ("2", "0,1")
    assert [file.name for file in (two.directory / "attempts").glob("[0-9]*.json")] == ["0001.json"]


def test_a_job_with_fewer_gpus_than_devices_is_refused(cluster: Cluster) -> None:
    done = cluster.sweep("trainer=ddp", runs="too_few")
    assert done.returncode == 2
    assert "error: trainer.devices=2: a job has 1 GPU" in done.stderr
    assert not list((cluster.folder / "too_few").glob("**/*_submission.sh"))


def test_started_twice_by_srun_is_refused(cluster: Cluster) -> None:
    task = [sys.executable, "-m", "ordinalclip.train", *SMALL, *DDP, "paths.runs=by_srun"]
    line = ["srun", "-n2", "-N1", "--gpus-per-node=2", "--mem=1000", *task]
    pipe = subprocess.PIPE
    started = subprocess.Popen(line, cwd=cluster.folder, env=cluster.environment, stdout=pipe, stderr=pipe, text=True)
    done = finish(started, PATIENCE_S)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("error: trainer.devices=2: srun started this 2 times") == 2, done.stderr
    assert not (cluster.folder / "by_srun").exists()
