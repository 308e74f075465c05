"""Sweeps on the cluster: one array over two nodes, failures, the same sweep twice, refusals."""

import json
import os
import re
from pathlib import Path
from typing import Any

import mlflow
import pytest

from ordinalclip.runs.run import Run, find_runs
from tests.slurm.conftest import Cluster, finish, local, wait_for
from tests.slurm.same import assert_same, values_by_epoch

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def runs_in(cluster: Cluster, folder: str) -> dict[str, Run]:
    return {run.run_id: run for run in find_runs(cluster.folder / folder)}


def shown_in(cluster: Cluster, folder: str) -> list[Any]:
    """What the driver's store has."""
    client = mlflow.MlflowClient(f"sqlite:///{cluster.folder / folder / 'mlflow.db'}")
    return list(client.search_runs([e.experiment_id for e in client.search_experiments()]))


def test_eight_jobs_are_one_array_over_two_nodes_and_give_what_a_local_sweep_does(cluster: Cluster) -> None:
    words = ("epochs=2", "prompt=rank,linear", "seed=0,1,2,3")
    local(cluster, ["-m", *words], "local")
    before = {row[0] for row in cluster.accounts()}
    done = cluster.sweep(*words, runs="array")
    assert done.returncode == 0, done.stderr
    assert "8 runs: 8 new" in done.stderr

    def completed() -> list[list[str]] | None:
        new = [row for row in cluster.accounts("State", "NodeList") if row[0] not in before]
        return new if [row[1] for row in new] == ["COMPLETED"] * 8 else None

    jobs = wait_for(completed, "SLURM's accounts of eight jobs")
    assert sorted(row[0].partition("_")[2] for row in jobs) == [str(index) for index in range(8)]
    assert len({row[0].partition("_")[0] for row in jobs}) == 1
    assert {row[2] for row in jobs} == {"node1", "node2"}

    here, there = runs_in(cluster, "local"), runs_in(cluster, "array")
    assert len(here) == 8
    assert here.keys() == there.keys()
    for run_id, run in there.items():
        assert_same(run, here[run_id])
        slurm = run.read_json("provenance.json")["slurm"]
        assert slurm["SLURM_GPUS_ON_NODE"] == "1"
        assert slurm["CUDA_VISIBLE_DEVICES"] in ("0", "1")
        assert slurm["SLURM_CPUS_PER_TASK"] == "2"
        assert slurm["SLURM_JOB_PARTITION"] == "trial"
        assert run.status()["attempt"] == 1

    again = cluster.sweep(*words, runs="array")
    assert again.returncode == 0
    assert "8 runs: 8 finished\n" in again.stderr
    assert "queued" not in again.stderr
    assert again.stdout == done.stdout


def test_a_failing_job_is_failed_everywhere_and_the_others_go_on(cluster: Cluster) -> None:
    done = cluster.sweep("epochs=2", "trainable.rank=1e30,1e-3", runs="failing")
    assert done.returncode == 1, done.stderr
    assert "error: 1 of 2 runs failed" in done.stderr
    assert re.search(r"trainable.rank=1e\+30: FloatingPointError: ", done.stderr), done.stderr
    runs = {run.state(): run for run in find_runs(cluster.folder / "failing")}
    assert runs.keys() == {"failed", "finished"}
    failed = runs["failed"]
    assert str(failed.directory / "run.log") in done.stderr
    assert "Traceback" in (failed.directory / "run.log").read_text()
    slurm = failed.read_json("provenance.json")["slurm"]
    name = f"{slurm['SLURM_ARRAY_JOB_ID']}_{slurm['SLURM_ARRAY_TASK_ID']}"
    stderr = (cluster.folder / "failing" / "slurm" / f"{name}_0_log.err").read_text()
    assert "Traceback (most recent call last)" in stderr
    assert "FloatingPointError" in stderr

    (shown,) = (run for run in shown_in(cluster, "failing") if run.info.status == "FAILED")
    assert shown.data.tags["ordinalclip.run_id"] == failed.run_id
    assert 'File "' in shown.data.tags["mlflow.note.content"]
    assert "FloatingPointError" in shown.data.tags["mlflow.note.content"]

    def end() -> list[str] | None:
        (found,) = ([*row[1:]] for row in cluster.accounts("State", "ExitCode") if row[0] == name)
        return found if found[0] not in ("RUNNING", "COMPLETING") else None

    assert wait_for(end, "the accounts of it") == ["FAILED", "1:0"]


def test_sweeps_of_one_second_do_no_run_twice(cluster: Cluster) -> None:
    words = [
        "-m",
        "hydra/launcher=slurm",
        "cluster=trial",
        "epochs=2",
        "cluster.gpus=0",
        "cluster.cpus=1",
    ]
    drivers = [cluster.start(*words, f"seed={seeds}", runs="one_second") for seeds in ("0,1", "0,1", "1,2")]
    ended = [finish(driver) for driver in drivers]
    queued = sum(
        int(number) for done in ended for number in re.findall(r"^queued: (\d) job", done.stderr, re.MULTILINE)
    )
    assert queued == 3, [done.stderr for done in ended]
    assert [done.returncode for done in ended] == [0, 0, 0], [done.stderr for done in ended]
    runs = runs_in(cluster, "one_second")
    assert len(runs) == 3
    for run in runs.values():
        assert run.state() == "finished"
        assert [file.name for file in (run.directory / "attempts").glob("[0-9]*.json")] == ["0001.json"]
        epochs = [line["epoch"] for line in run.metrics()]
        assert epochs == sorted(set(epochs)) == [0, 1, 2]
        assert values_by_epoch(run).keys() == {0, 1, 2}
    shown = shown_in(cluster, "one_second")
    assert sorted(run.data.tags["ordinalclip.run_id"] for run in shown) == sorted(runs)
    assert [run.info.status for run in shown] == ["FINISHED"] * 3


def test_an_sqlite_store_named_for_the_jobs_is_refused_before_anything_is_queued(cluster: Cluster) -> None:
    before = {row[0] for row in cluster.accounts()}
    for named in ("tracking=local", "tracking.uri=sqlite:///mine.db"):
        done = cluster.sweep("epochs=1", "seed=0,1", named, runs="refused")
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: {named}: is an SQLite file"), done.stderr
    assert not (cluster.folder / "refused").exists()
    assert {row[0] for row in cluster.accounts()} == before


def test_what_sbatch_refuses_is_told_in_its_words(cluster: Cluster) -> None:
    done = cluster.sweep("epochs=1", "seed=0,1", "cluster.gpus=3", runs="refused_by_sbatch")
    assert done.returncode == 2
    assert "is refused by sbatch: " in done.stderr
    assert "Requested node configuration is not available" in done.stderr


def test_without_accounts_a_cancelled_job_ends_the_driver(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "sacct").write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2\nexit 1\n")
    (tmp_path / "sacct").chmod(0o755)
    words = ["-m", "hydra/launcher=slurm", "cluster=trial", "epochs=100000", "cluster.gpus=0"]
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    driver = cluster.start(*words, runs="cancelled", PATH=path)
    folder = cluster.folder / "cancelled"
    wait_for(lambda: [run for run in find_runs(folder) if run.epochs_done() > 0], "the run has begun")
    (run,) = find_runs(folder)
    (file,) = (run.directory / "attempts").glob("0001.json")
    cluster.call("scancel", json.loads(file.read_text())["slurm_job"])
    done = finish(driver)
    assert done.returncode == 1
    assert "sacct does not answer here" in done.stderr
    assert "was cancelled on node" in done.stderr
    assert run.state() == "interrupted"
