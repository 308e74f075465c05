"""Detached sweeps on the real cluster: typed, left alone, taken up, taken back; edited code does not reach them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from launch.run_states import read_run_states
from ordinalclip.runs.run import Run, find_runs
from tests.slurm.conftest import PATIENCE_S, ROOT, SMALL, Cluster, wait_for
from tests.slurm.paced import PACE, PACED

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def submit(cluster: Cluster, *words: str, runs: str, **environment: str) -> list[str]:
    """The arrays that were queued."""
    done = cluster.command("submit", "-m", *SMALL, "cluster=trial", *words, runs=runs, **environment)
    return done.stdout.split()


def states(cluster: Cluster, runs: str, sweep: str) -> list[str]:
    noted = json.loads((cluster.folder / runs / "sweeps" / f"{sweep}.json").read_text())["runs"]
    root = cluster.folder / runs
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = cluster.environment["SLURM_CONF"]
    try:
        return [one.state for one in read_run_states([Run(root / name) for name in noted], root)]
    finally:
        if before is None:
            del os.environ["SLURM_CONF"]


def wait_finished(cluster: Cluster, runs: str, sweep: str, number: int) -> None:
    """Until all runs of a sweep are finished; not for one that has failed."""

    def are_finished() -> bool:
        found = states(cluster, runs, sweep)
        assert "failed" not in found, cluster.command("status", runs=runs).stdout
        return found == ["finished"] * number

    wait_for(are_finished, f"{number} runs are finished")


def test_submitted_twice_left_alone_and_typed_again(cluster: Cluster) -> None:
    words = ("epochs=2", "prompt=rank,linear", "seed=0,1", "sweep=twice")
    pipe: Any = subprocess.PIPE
    line = [sys.executable, "-m", "launch.submit", "-m", *SMALL, "cluster=trial", *words, "paths.runs=twice"]
    both = [
        subprocess.Popen(line, cwd=cluster.folder, env=cluster.environment, stdout=pipe, stderr=pipe, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=PATIENCE_S) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    root = cluster.folder / "twice"
    claims = [json.loads(path.read_text()) for path in (root / "queued").glob("*.json")]
    jobs = [claim["slurm_id"] for claim in claims]
    assert len(jobs) == len(set(jobs)) == 4
    arrays = {out.strip() for out, _ in said} - {""}
    assert {job.partition("_")[0] for job in jobs} == {array for line in arrays for array in line.split()}
    assert submit(cluster, *words, runs="twice") == []
    wait_finished(cluster, "twice", "twice", 4)
    assert submit(cluster, *words, runs="twice") == []
    assert all(run.status()["attempt"] == 1 for run in find_runs(root))


def test_code_edited_while_jobs_wait_does_not_change_them(cluster: Cluster, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for name in ("ordinalclip", "launch", "analysis", "conf"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__", "local"))
    git = ["git", "-C", str(checkout), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *words], check=True)
    module = checkout / "ordinalclip" / "system" / "interruption.py"
    module.write_text(module.read_text() + "# changed\n")
    path = {"PYTHONPATH": f"{checkout}{os.pathsep}{checkout / 'launch'}"}
    cluster.call("scontrol", "update", "partitionname=trial", "state=DOWN")
    try:
        (array,) = submit(cluster, "epochs=1", "sweep=edited", runs="edited", **path)
        assert states(cluster, "edited", "edited") == ["queued"]
        (checkout / "ordinalclip" / "execution" / "job.py").write_text("raise SystemExit('edited')\n")
        (checkout / "conf" / "train.yaml").write_text("nonsense: true\n")
    finally:
        cluster.call("scontrol", "update", "partitionname=trial", "state=UP")
    wait_finished(cluster, "edited", "edited", 1)
    (run,) = find_runs(cluster.folder / "edited")
    code = run.read_json("provenance.json")["code"]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert (code["git"], code["dirty"], code["changed"]) == (commit, True, [" M ordinalclip/system/interruption.py"])
    assert "+# changed" in (run.directory / "code.diff").read_text()
    assert run.read_json("provenance.json")["slurm"]["SLURM_JOB_ID"] == array


def test_cancelled_and_retried(cluster: Cluster, tmp_path: Path) -> None:
    words = ("epochs=100000", "prompt=linear", "seed=range(6)", "sweep=long", *PACED)
    (tmp_path / "pace").write_text("0.2")  # four runs at once leave the processors to the commands
    pace = {PACE: str(tmp_path / "pace")}
    submit(cluster, *words, runs="long", **pace)
    root = cluster.folder / "long"
    (first, *_) = wait_for(lambda: [run for run in find_runs(root) if run.epochs_done() > 0], "an epoch is done")
    assert "queued" in states(cluster, "long", "long")
    job = first.read_json("provenance.json")["slurm"]["SLURM_JOB_ID"]
    step = cluster.call("scontrol", "show", "step", f"{job}.0")
    assert "TresPerTask=cpu:2" in step  # all of the job's cores
    cluster.command("cancel", "sweep=long", runs="long")
    wait_for(lambda: {*states(cluster, "long", "long")} <= {"interrupted", "new"}, "all have ended")
    wait_for(lambda: cluster.call("squeue", "-h").strip() == "", "the queue is empty")
    told = ("status", "sweep=long")
    wait_for(lambda: cluster.command(*told, runs="long").stdout.count("cancelled") == 6, "the accounts say why")
    name, before = first.directory.name, first.epochs_done()
    cluster.command("retry", f"run={name}", "cluster=trial", runs="long", **pace)
    wait_for(lambda: first.epochs_done() > before, "it goes on")
    assert first.status()["attempt"] == 2
    cluster.command("cancel", f"run={name}", runs="long")
    wait_for(lambda: first.state() == "interrupted", "it has ended")


def test_a_failed_run_tells_its_last_line(cluster: Cluster) -> None:
    submit(cluster, "epochs=1", "trainable.rank=1e30,1e-3", "sweep=bad", runs="bad")
    wait_for(lambda: sorted(states(cluster, "bad", "bad")) == ["failed", "finished"], "one fails, one is done")
    told = cluster.command("status", "sweep=bad", runs="bad").stdout
    assert "failed: bug" in told
    assert "FloatingPointError: the loss became" in told
